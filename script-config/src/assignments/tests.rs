use proptest::prelude::*;

use super::*;
use crate::limits::MAX_NESTING;
use crate::writing::write_assignment;

fn read(text: &str) -> Environment {
    let mut environment = Environment::new();
    parse_assignments("f", text, &mut environment).unwrap();
    environment
}

fn value(text: &str) -> String {
    read(text).text("A").unwrap_or("(unset)").to_owned()
}

fn problems(text: &str) -> Vec<String> {
    let found = match parse_assignments("f", text, &mut Environment::new()) {
        Ok(problems) | Err(problems) => problems,
    };
    let show = |problem: &ConfigProblem| {
        let place = problem.place().unwrap();
        format!("{}:{} {}", place.line, place.column, problem.id())
    };
    found.iter().map(show).collect()
}

#[test]
fn values_mean_what_they_mean_in_bash() {
    for (text, expected) in [
        ("A=1", "1"),
        ("A=", ""),
        ("A=1 # comment", "1"),
        ("A=1#2", "1#2"),
        ("A='a \"$B\" \\'", "a \"$B\" \\"),
        ("A=\"a\\\"b\\x $ '\"", "a\"b\\x $ '"),
        ("A=a\\ b\\#", "a b#"),
        ("A=a\\\nb", "ab"),
        ("A='a\\\nb'", "a\\\nb"),
        ("B=1 A=$B", "1"),
        ("B=1; export B=2 A=$B", "1"),
        ("A=1 A+=2\nA+='3'", "123"),
        ("B='x  *'\nA=$B", "x  *"),
        ("A=${B:-x y}${C:-${D:-'}'}}", "x y}"),
        ("A={a,b}*~", "{a,b}*~"),
        ("export A", "(unset)"),
        ("A\\\n=1", "1"),
    ] {
        assert_eq!(value(text), expected, "{text:?}");
    }
}

#[test]
fn anything_else_is_refused_at_its_place() {
    for (text, expected) in [
        ("echo hi", "1:1 config-command"),
        (". /etc/x", "1:1 config-command"),
        ("A=1\n  if x; then\nB=1\nfi\n", "2:3 config-keyword"),
        ("f() {\n A=1\n}\n", "1:1 config-function"),
        ("A = 1", "1:1 config-blank-before-equals"),
        ("A= 1", "1:4 config-blank-in-value"),
        ("a_OPT=-o /x", "1:10 config-blank-in-value"),
        ("bad-name_OPT=-g", "1:1 config-variable-name"),
        ("9x=1", "1:1 config-variable-name"),
        ("A=(1 2)", "1:2 config-array"),
        ("A[0]=1", "1:1 config-array"),
        ("export -n A", "1:8 config-export-form"),
        ("export", "1:1 config-export-form"),
        ("export A={a,b}", "1:10 config-brace-after-export"),
        ("A=1 | B=2", "1:5 config-operator"),
        ("A=1 > /x", "1:5 config-operator"),
        ("A=1;;", "1:4 config-operator"),
        ("; A=1", "1:1 config-operator"),
        ("A=\"x$(date)\"", "1:5 config-command-substitution"),
        ("A=`date`", "1:3 config-command-substitution"),
        ("A=<(x)", "1:3 config-process-substitution"),
        ("A=$((1+1))", "1:3 config-arithmetic"),
        ("A=$[1]", "1:3 config-arithmetic"),
        ("A=$'x'", "1:3 config-dollar-quote"),
        ("A=$1", "1:3 config-special-parameter"),
        ("A=${B%x}", "1:3 config-expansion"),
        ("A=${#B}", "1:3 config-expansion"),
        ("A=\"${B:-'x'}\"", "1:9 config-in-default"),
        ("A=~/x", "1:3 config-tilde"),
        ("A=x:~", "1:5 config-tilde"),
        ("B=1\nA='x\n", "2:3 config-unterminated"),
        ("A=${B:-x", "1:3 config-unterminated"),
        ("A=1\\", "1:4 config-ends-in-backslash"),
        ("A=1\r\nB=2\r\n", "1:4 config-carriage-return"),
        ("A=a\u{1}b", "1:4 config-control-character"),
        ("\u{feff}A=1", "1:1 config-byte-order-mark"),
        ("UID=0", "1:1 config-sets-shell-variable"),
        ("A=$RANDOM", "1:3 config-reads-shell-variable"),
        ("A=$HOME/x", "1:3 config-reads-environment"),
        ("PATH=/bin A=$PATH", "1:1 config-no-effect"),
        ("A=$B", "1:3 config-unset"),
    ] {
        assert_eq!(problems(text), [expected], "{text:?}");
    }
}

#[test]
fn nothing_of_a_refused_file_counts() {
    let mut environment = read("A=1");
    let before = environment.clone();
    assert!(parse_assignments("f", "A=2\nB=$(x)", &mut environment).is_err());
    assert_eq!(environment, before);
}

#[test]
fn all_problems_of_a_file_are_reported() {
    let text = "A=`x`\nB=~\nif a\nthen c\nfi\nC=$Z\necho";
    let ids = [
        "1:3 config-command-substitution",
        "2:3 config-tilde",
        "3:1 config-keyword",
        "6:3 config-unset",
        "7:1 config-command",
    ];
    assert_eq!(problems(text), ids);
}

#[test]
fn a_block_that_never_ends_does_not_hide_the_rest() {
    assert_eq!(problems("if x\nA=~"), ["1:1 config-keyword", "2:3 config-tilde"]);
    let many = "if\n".repeat(20_000);
    assert_eq!(problems(&many).len(), 20_000);
}

#[test]
fn values_and_nesting_have_limits() {
    let doubled: String = std::iter::repeat_n("A=$A$A\n", 64).collect();
    let found = problems(&format!("A=0123456789\n{doubled}"));
    assert!(found.iter().all(|problem| problem.ends_with("config-value-too-long")), "{found:?}");
    let deep = format!("A={}{}", "${B:-".repeat(100_000), "}".repeat(100_000));
    assert!(problems(&deep)[0].ends_with("config-too-deep"));
    let allowed = format!("A={}{}", "${B:-".repeat(MAX_NESTING), "}".repeat(MAX_NESTING));
    assert_eq!(value(&allowed), "");
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        let _ = problems(&text);
    }

    #[test]
    fn any_shell_like_text_is_read_without_panic(text in "[A=+${}\"'\\\\ \n\t;:~#()`-]{0,60}") {
        let _ = problems(&text);
    }

    #[test]
    fn what_is_written_is_read_back(text in "[^\\p{Cc}]*") {
        prop_assert_eq!(value(&write_assignment("A", &text)), text);
    }
}
