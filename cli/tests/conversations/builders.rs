//! Whose results are taken from a cache. The results here are written by this test, as the specification has them (section 18.3).

use std::path::Path;

use insta::assert_snapshot;
use serde_json::{Value, json};
use signing::{KeyPairFiles, PrivateKeyFile};

use crate::world::TestWorld;

/// A result of a compile that failed, as a builder writes it.
struct Result<'a> {
    world: &'a TestWorld,
    /// Of a cache, such as `c/artifacts`.
    artifacts: &'a str,
    key: String,
}

impl<'a> Result<'a> {
    fn new(world: &'a TestWorld, artifacts: &'a str, digit: char) -> Self {
        Self { world, artifacts, key: digit.to_string().repeat(64) }
    }

    fn record(&self, reason: &str) -> Value {
        let zero = "0".repeat(64);
        let parts = json!({
            "recipe": 1, "argv": ["stap"], "environment": [], "script": zero, "toolchain": zero,
            "build_tree": "/tree", "tree": zero,
        });
        json!({
            "format": 1, "key": self.key, "result": { "failed": { "reason": reason } }, "parts": parts,
            "wall_ms": 0, "cpu_ms": null,
        })
    }

    fn write(&self, text: &str) {
        let directory = format!("{}/{}/{}", self.artifacts, &self.key[..2], self.key);
        self.world.write(&format!("{directory}/record.json"), text);
        self.world.write(&format!("{directory}/log.txt"), "log");
    }

    fn signed(&self, by: &PrivateKeyFile) -> String {
        let record = self.record("no match").to_string();
        let signature = by.sign_result(record.as_bytes()).unwrap();
        let digits = signature.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
        format!(
            "{{\"record\": {record}, \"builder\": \"{}\", \"signature\": \"{digits}\"}}",
            by.public().id()
        )
    }
}

/// The key that a builder's first build makes in its cache.
fn builder(world: &TestWorld, cache: &str) -> PrivateKeyFile {
    std::fs::create_dir_all(world.path(&format!("{cache}/build"))).unwrap();
    PrivateKeyFile::create(&KeyPairFiles::named(&world.path(&format!("{cache}/build/builder")))).unwrap()
}

fn copy(world: &TestWorld, from: &str, to: &str) {
    std::fs::create_dir_all(world.path(to).parent().unwrap_or(Path::new("."))).unwrap();
    std::fs::copy(world.path(from), world.path(to)).unwrap();
}

#[test]
fn only_results_of_listed_builders_are_pulled() {
    let world = TestWorld::new();
    let other = builder(&world, "other");
    builder(&world, "own");
    let result = |digit| Result::new(&world, "other/artifacts", digit);
    result('a').write(&result('a').signed(&other));
    result('b').write(&result('b').signed(&other).replace("no match", "no space"));
    result('c').write(&result('c').record("no match").to_string());
    result('d').write("{");
    copy(&world, "other/build/builder.pub", "builders/other.pub");
    std::fs::create_dir(world.path("none")).unwrap();
    assert_snapshot!(world.talk("
        cache pull other/artifacts --cache own
        cache pull other/artifacts --cache own --builders builders
        cache pull other/artifacts --cache own --accept-unsigned-results
        --json cache pull other/artifacts --cache own --builders builders --accept-unsigned-results
        cache pull other/artifacts --cache own --builders none
        cache pull other/artifacts --cache own --builder-key absent.key
        cache verify --cache own
    "), @r#"
    $ stap-bundle cache pull other/artifacts --cache own
    0 results copied, [SIZE]; 0 were there: $WORLD/work/own/artifacts
    2> warning: other/artifacts/dd/[SHA-256] is damaged and wasn't copied
    2> warning: not copied: 1 result has no builder's signature: other/artifacts/cc/[SHA-256]/record.json
    2> warning: not copied: 2 results are by builder [SHA-256], which is not listed: such as other/artifacts/aa/[SHA-256]/record.json
    2> to accept a builder's results, copy its build/builder.pub into a directory DIR and pass --builders DIR
    [exit 1]
    $ stap-bundle cache pull other/artifacts --cache own --builders builders
    1 result copied, [SIZE]; 0 were there: $WORLD/work/own/artifacts
    2> warning: other/artifacts/dd/[SHA-256] is damaged and wasn't copied
    2> warning: not copied: 1 result has no builder's signature: other/artifacts/cc/[SHA-256]/record.json
    2> warning: not copied: 1 result was changed after builder [SHA-256] signed it: other/artifacts/bb/[SHA-256]/record.json
    2> to accept a builder's results, copy its build/builder.pub into a directory DIR and pass --builders DIR
    [exit 1]
    $ stap-bundle cache pull other/artifacts --cache own --accept-unsigned-results
    2 results copied, [SIZE]; 1 were there: $WORLD/work/own/artifacts
    2> warning: other/artifacts/dd/[SHA-256] is damaged and wasn't copied
    [exit 1]
    $ stap-bundle --json cache pull other/artifacts --cache own --builders builders --accept-unsigned-results
    {
      "bytes": 0,
      "copied": 0,
      "damaged": [
        "other/artifacts/dd/[SHA-256]"
      ],
      "from": "other/artifacts",
      "not_taken": [
        "1 result was changed after builder [SHA-256] signed it: other/artifacts/bb/[SHA-256]/record.json"
      ],
      "schema": "cache-copy/1",
      "there": 2,
      "to": "$WORLD/work/own/artifacts"
    }
    [exit 1]
    $ stap-bundle cache pull other/artifacts --cache own --builders none
    2> error: none: there is no *.pub in it
    [exit 10]
    $ stap-bundle cache pull other/artifacts --cache own --builder-key absent.key
    2> error: key file absent.key: No such file or directory
    [exit 14]
    $ stap-bundle cache verify --cache own
    0 modules and 3 failed compiles are whole, [SIZE]: $WORLD/work/own/artifacts
    [exit 0]
    "#);
}

/// A farm may give its builders one key.
#[test]
fn builders_with_one_key_take_each_others_results() {
    let mut world = TestWorld::new();
    let shared = builder(&world, "shared");
    let result = Result::new(&world, "other/artifacts", 'a');
    result.write(&result.signed(&shared));
    assert_eq!(world.run("cache pull other/artifacts --cache one").exit, Some(1));
    assert_eq!(
        world.run("cache pull other/artifacts --cache one --builder-key shared/build/builder.key").exit,
        Some(0)
    );
    world.set("STAP_BUNDLE_BUILDER_KEY", "shared/build/builder.key");
    assert_eq!(world.run("cache pull other/artifacts --cache two").exit, Some(0));
}

#[test]
fn a_push_replaces_what_this_builder_would_not_take() {
    let world = TestWorld::new();
    let own = builder(&world, "own");
    let stranger = builder(&world, "stranger");
    for (artifacts, by) in [("own/artifacts", &own), ("shared", &stranger)] {
        let result = Result::new(&world, artifacts, 'a');
        result.write(&result.signed(by));
    }
    assert_snapshot!(world.talk("
        cache push shared --cache own
        cache push shared --cache own
    "), @r#"
    $ stap-bundle cache push shared --cache own
    1 result copied, [SIZE]; 0 were there: shared
    [exit 0]
    $ stap-bundle cache push shared --cache own
    0 results copied, [SIZE]; 1 were there: shared
    [exit 0]
    "#);
}
