//! What `config check` tells, in words.

use script_config::{ConfigProblem, Place, ScriptName, ScriptOptions, Severity};

use super::checked::{Checked, Parameter, Script};
use crate::tables;
use crate::ui::{Mark, Ui};
use crate::words::count;

pub(super) fn show(ui: &mut Ui, checked: &Checked) {
    show_parameters(ui, &checked.parameters());
    for script in checked.scripts() {
        show_script(ui, &script);
    }
    show_order(ui, checked);
    for problem in checked.problems() {
        show_problem(ui, problem);
    }
    if !checked.problems().is_empty() {
        ui.line("");
    }
    let (word, counted) = summary(checked.problems());
    let word = match word {
        "good" if checked.has_scripts() => ui.mark(Mark::Good, word),
        "good" => ui.mark(Mark::Attention, "nothing to check"),
        _ => ui.mark(Mark::Bad, word),
    };
    ui.line(format!("{word}: {}, {counted}", count(checked.scripts().len(), "script")));
}

fn show_parameters(ui: &mut Ui, parameters: &[Parameter<'_>]) {
    let mut table = tables::plain(["PARAMETER", "VALUE", "FROM"]);
    for parameter in parameters {
        let value = if parameter.value.is_empty() { "\"\"" } else { &parameter.value };
        let from = match parameter.from {
            Some(place) if parameter.is_wrong => format!("default, because {place} is wrong"),
            Some(place) => place.to_string(),
            None => "default".to_owned(),
        };
        table.add_row([parameter.name, value, &from]);
    }
    ui.line(tables::text(&mut table));
    ui.line("");
}

/// One line for each thing: options are too long for columns.
fn show_script(ui: &mut Ui, script: &Script<'_>) {
    let name = ui.mark(Mark::Attention, script.name);
    ui.line(name);
    match script.options {
        Some(options) => {
            let compile = compile_words(options);
            if !compile.is_empty() {
                ui.line(format!("  compile   {compile}"));
            }
            ui.line(format!("  run       {}", words(&options.staprun_args())));
        }
        None => ui.line("  its settings are wrong, see below"),
    }
    if !script.requires.is_empty() {
        let requires: Vec<&str> = script.requires.iter().map(ScriptName::as_str).collect();
        ui.line(format!("  requires  {}", requires.join(" ")));
    }
    let from: Vec<String> =
        [script.options_from, script.requires_from].into_iter().flatten().map(Place::to_string).collect();
    if !from.is_empty() {
        ui.line(format!("  from      {}", from.join(", ")));
    }
}

fn compile_words(options: &ScriptOptions) -> String {
    let compile = words(&options.compile_args());
    let arguments = words(options.script_args());
    if arguments.is_empty() { compile } else { format!("{compile} -- {arguments}").trim_start().to_owned() }
}

fn show_order(ui: &mut Ui, checked: &Checked) {
    let names =
        |names: Vec<&ScriptName>| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
    let order = names(checked.order().iter().collect());
    let others = names(checked.without_place());
    if order.is_empty() && others.is_empty() {
        return;
    }
    ui.line("");
    if !order.is_empty() {
        ui.line(format!("order: {order}"));
    }
    if !others.is_empty() {
        let word = ui.mark(Mark::Bad, "can't start");
        ui.line(format!("{word}: {others}"));
    }
    ui.line("");
}

/// As [`ConfigProblem::render`], with the severity in its colour.
fn show_problem(ui: &mut Ui, problem: &ConfigProblem) {
    let mark = match problem.severity() {
        Severity::Error => Mark::Bad,
        Severity::Warning => Mark::Attention,
        Severity::Note => Mark::Faint,
    };
    let place = problem.place().map(|place| format!("{place}: ")).unwrap_or_default();
    let severity = ui.mark(mark, problem.severity());
    let hint = ui.mark(Mark::Good, "hint");
    ui.finding(format!("{place}{severity}: {problem} [{}]", problem.id()));
    ui.finding(format!("  {hint}: {}", problem.next_step()));
}

/// Whether all is good, and what was found.
fn summary(problems: &[ConfigProblem]) -> (&'static str, String) {
    let of = |severity| problems.iter().filter(|problem| problem.severity() == severity).count();
    let kinds = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let found: Vec<String> = kinds
        .into_iter()
        .filter(|(severity, _)| of(*severity) > 0)
        .map(|(severity, word)| count(of(severity), word))
        .collect();
    let word = if of(Severity::Error) == 0 { "good" } else { "not good" };
    (word, if found.is_empty() { "0 problems".to_owned() } else { found.join(", ") })
}

/// Words as a shell would need them.
fn words(words: &[String]) -> String {
    words.iter().map(|word| script_config::quote_word(word)).collect::<Vec<_>>().join(" ")
}
