//! Against OpenSSL, whose `cms -noattr` gives the message that the kernel's `sign-file` appends.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bundle_format::{Extent, ModuleDraft, PublicKey, RawBundle, Trailer, TrustedKeys};
use zeroize::Zeroizing;

use super::*;

const BODY: &[u8] = b"\x7fELF and all that follows";

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, words: &str) -> Vec<u8> {
        let run = Command::new("openssl").args(words.split(' ')).current_dir(self.0.path()).output().unwrap();
        assert!(run.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&run.stderr));
        run.stdout
    }

    /// A key and its certificate by OpenSSL, `NAME.key` and `NAME.der`.
    fn pair(&self, name: &str, kind: &str) {
        let extensions = "-addext basicConstraints=critical,CA:FALSE -addext keyUsage=digitalSignature";
        self.openssl(&format!(
            "req -x509 -newkey {kind} -nodes -subj /O=x/CN={name} -days 9 {extensions} -keyout {name}.key \
             -outform DER -out {name}.der"
        ));
        fs::set_permissions(self.path(&format!("{name}.key")), Permissions::from_mode(0o600)).unwrap();
    }

    fn certificate(&self, name: &str) -> ModuleCertificate {
        ModuleCertificate::read(&fs::read(self.path(&format!("{name}.der"))).unwrap()).unwrap()
    }

    fn key(&self, name: &str) -> ModuleKeyFile {
        ModuleKeyFile::open(&self.path(&format!("{name}.key")), None).unwrap()
    }

    fn signer(&self, name: &str) -> ModuleSigner {
        ModuleSigner::with_file(self.certificate(name), self.key(name))
    }

    /// What OpenSSL makes of the same, with what `sign-file` puts behind it.
    fn expected(&self, name: &str, digest: &str) -> Vec<u8> {
        fs::write(self.path("body"), BODY).unwrap();
        self.openssl(&format!("x509 -inform DER -in {name}.der -out {name}.pem"));
        let mut bytes = self.openssl(&format!(
            "cms -sign -binary -noattr -nocerts -nosmimecap -md {digest} -in body -signer {name}.pem -inkey {name}.key -outform DER"
        ));
        let length = u32::try_from(bytes.len()).unwrap();
        bytes.extend([0, 0, 2, 0, 0, 0, 0, 0]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(b"~Module signature appended~\n");
        bytes
    }
}

fn trailer(signer: &ModuleSigner) -> Vec<u8> {
    let draft = ModuleDraft::of_bytes("counter".parse().unwrap(), BODY.to_vec());
    let trailers = signer.trailers(&[&draft]).unwrap();
    let [Trailer { certificate, .. }] = trailers.as_slice() else { panic!("{trailers:?}") };
    assert_eq!(*certificate, signer.certificate().id());
    trailers[0].raw().unwrap()
}

#[test]
fn an_rsa_trailer_is_the_bytes_of_openssl_and_so_of_sign_file() {
    let bench = Bench::new();
    bench.pair("rsa", "rsa:3072");
    let signed = trailer(&bench.signer("rsa"));
    assert_eq!(signed, bench.expected("rsa", "sha256"));
    // Little beside the signature itself.
    assert!(signed.len() < 384 + 600, "{}", signed.len());
}

#[test]
fn an_ecdsa_trailer_is_the_same_each_time_and_openssl_verifies_it() {
    let bench = Bench::new();
    for (name, kind) in
        [("p384", "ec -pkeyopt ec_paramgen_curve:P-384"), ("p256", "ec -pkeyopt ec_paramgen_curve:P-256")]
    {
        bench.pair(name, kind);
        let signed = trailer(&bench.signer(name));
        assert_eq!(signed, trailer(&bench.signer(name)));
        let message = &signed[..signed.len() - 40];
        fs::write(bench.path("message"), message).unwrap();
        fs::write(bench.path("body"), BODY).unwrap();
        bench.openssl(&format!("x509 -inform DER -in {name}.der -out {name}.pem"));
        bench.openssl(&format!(
            "cms -verify -binary -inform DER -in message -content body -certfile {name}.pem -noverify -out /dev/null"
        ));
    }
}

#[test]
fn a_signature_that_others_made_is_recognised_by_its_key() {
    let bench = Bench::new();
    bench.pair("rsa", "rsa:3072");
    bench.pair("other", "rsa:3072");
    bench.pair("p384", "ec -pkeyopt ec_paramgen_curve:P-384");
    for (name, digest) in [
        ("rsa", "sha256"),
        ("rsa", "sha512"),
        ("rsa", "sha256 -keyid"),
        ("p384", "sha384"),
        ("p384", "sha512"),
    ] {
        let signed = bench.expected(name, digest);
        let certificate = bench.certificate(name);
        assert_eq!(signed_by(&certificate, BODY, &signed), SignedBy::This, "{name} {digest}");
        let other_body = b"\x7fELF and all that followed";
        assert_eq!(signed_by(&certificate, other_body, &signed), SignedBy::Broken);
        assert_eq!(signed_by(&bench.certificate("other"), BODY, &signed), SignedBy::Another);
        for end in 0..signed.len() {
            assert_eq!(signed_by(&certificate, BODY, &signed[..end]), SignedBy::Unreadable);
            assert_eq!(signed_by(&certificate, BODY, &signed[signed.len() - end..]), SignedBy::Unreadable);
        }
    }
    let own = trailer(&bench.signer("rsa"));
    assert_eq!(signed_by(&bench.certificate("rsa"), BODY, &own), SignedBy::This);
    assert_eq!(
        signed_by(&bench.certificate("rsa"), BODY, &bench.expected("rsa", "sha1")),
        SignedBy::Unreadable
    );
    // A renewed certificate of the same key is another one: the kernel looks for the one that the message names.
    bench.openssl("req -x509 -key rsa.key -subj /O=x/CN=renewed -days 9 -outform DER -out renewed.der");
    assert_eq!(signed_by(&bench.certificate("renewed"), BODY, &own), SignedBy::Another);
}

#[test]
fn a_key_signs_for_its_own_certificate_only() {
    let bench = Bench::new();
    bench.pair("one", "ec -pkeyopt ec_paramgen_curve:P-256");
    bench.pair("two", "ec -pkeyopt ec_paramgen_curve:P-256");
    assert!(bench.key("one").is_of(&bench.certificate("one")));
    assert!(!bench.key("two").is_of(&bench.certificate("one")));
    let wrong = ModuleSigner::with_file(bench.certificate("one"), bench.key("two"));
    let draft = ModuleDraft::of_bytes("counter".parse().unwrap(), BODY.to_vec());
    assert!(matches!(wrong.trailers(&[&draft]), Err(ModuleSignError::Wrong { .. })));
}

#[test]
fn keys_that_a_kernel_does_not_take_are_refused() {
    let bench = Bench::new();
    for (name, kind, found) in [
        ("weak", "rsa:1024", "its key is RSA of 1024 bits"),
        ("ed", "ed25519", "its key is of another kind (algorithm 1.3.101.112)"),
        ("k1", "ec -pkeyopt ec_paramgen_curve:secp256k1", "its key is of another kind"),
    ] {
        bench.pair(name, kind);
        let error = ModuleCertificate::read(&fs::read(bench.path(&format!("{name}.der"))).unwrap());
        let said = error.unwrap_err().to_string();
        assert!(said.starts_with(found) && said.contains("RSA of 2048 to 4096 bits"), "{said}");
    }
    let error = ModuleKeyFile::open(&bench.path("ed.key"), None).unwrap_err().to_string();
    assert!(error.ends_with("kernels take modules signed by those only"), "{error}");
    bench.pair("rsa", "rsa:2048");
    bench.openssl("rsa -in rsa.key -traditional -out old.key");
    fs::set_permissions(bench.path("old.key"), Permissions::from_mode(0o600)).unwrap();
    let error = ModuleKeyFile::open(&bench.path("old.key"), None).unwrap_err();
    assert!(matches!(error, ModuleKeyError::Traditional { .. }), "{error}");
}

#[test]
fn a_passphrase_is_needed_and_must_be_the_right_one() {
    let bench = Bench::new();
    bench.pair("rsa", "rsa:2048");
    bench.openssl("pkcs8 -topk8 -in rsa.key -passout pass:secret -out locked.key");
    let path = bench.path("locked.key");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert!(ModuleKeyFile::is_encrypted(&path).unwrap());
    assert!(!ModuleKeyFile::is_encrypted(&bench.path("rsa.key")).unwrap());
    let open = |passphrase: Option<&str>| {
        ModuleKeyFile::open(&path, passphrase.map(|text| Zeroizing::new(text.to_owned())))
    };
    assert!(matches!(open(None).unwrap_err(), ModuleKeyError::NoPassphrase { .. }));
    assert!(matches!(open(Some("wrong")).unwrap_err(), ModuleKeyError::WrongPassphrase { .. }));
    let signer = ModuleSigner::with_file(bench.certificate("rsa"), open(Some("secret")).unwrap());
    assert_eq!(trailer(&signer), trailer(&bench.signer("rsa")));
}

/// A token that gives the two numbers of ECDSA one after the other, or something wrong.
struct Token {
    key: PathBuf,
    is_broken: bool,
}

impl SignElsewhere for Token {
    fn sign(&self, digest: &ModuleDigest, _: &ModuleCertificate) -> io::Result<Vec<u8>> {
        use p384::ecdsa::signature::hazmat::PrehashSigner as _;
        use pkcs8::DecodePrivateKey as _;
        let key = p384::ecdsa::SigningKey::from_pkcs8_pem(&fs::read_to_string(&self.key).unwrap()).unwrap();
        let signature: p384::ecdsa::Signature = key.sign_prehash(digest.bytes()).unwrap();
        let mut raw = signature.to_bytes().to_vec();
        raw[7] ^= u8::from(self.is_broken);
        Ok(raw)
    }
}

#[test]
fn a_signature_from_elsewhere_is_taken_as_two_numbers_and_verified() {
    let bench = Bench::new();
    bench.pair("p384", "ec -pkeyopt ec_paramgen_curve:P-384");
    let token = |is_broken| {
        let token = Token { key: bench.path("p384.key"), is_broken };
        ModuleSigner::elsewhere(bench.certificate("p384"), Box::new(token))
    };
    assert_eq!(trailer(&token(false)), trailer(&bench.signer("p384")));
    let draft = ModuleDraft::of_bytes("counter".parse().unwrap(), BODY.to_vec());
    assert!(matches!(token(true).trailers(&[&draft]), Err(ModuleSignError::Wrong { .. })));
}

/// The vector of the specification: the module `alpha` of the golden bundle, signed by a committed key.
#[test]
fn the_vector_of_the_specification_is_what_that_key_makes() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let bench = Bench::new();
    fs::copy(fixtures.join("module-signature/test-key.pem"), bench.path("test.key")).unwrap();
    fs::set_permissions(bench.path("test.key"), Permissions::from_mode(0o600)).unwrap();
    fs::copy(fixtures.join("module-signature/test-certificate.der"), bench.path("test.der")).unwrap();
    let trusted =
        PublicKey::from_pem(&fs::read_to_string(fixtures.join("golden/format-1.pub")).unwrap()).unwrap();
    let golden = fs::File::open(fixtures.join("golden/format-1.stapb")).unwrap();
    let golden = RawBundle::read(golden).unwrap().verify(&TrustedKeys::any_of([trusted])).unwrap();
    let wanted = golden.manifest().kernels.iter().map(|kernel| kernel.id).collect();
    let mut alpha = None;
    golden
        .read_content(&wanted, Extent::Everything, &mut |_, set| {
            let module = set.modules().find(|module| module.record.name.as_str() == "alpha");
            alpha = alpha.take().or(module.map(|module| module.bytes.to_vec()));
            Ok(())
        })
        .unwrap();
    let draft = ModuleDraft::of_bytes("alpha".parse().unwrap(), alpha.unwrap());
    let trailers = bench.signer("test").trailers(&[&draft]).unwrap();
    let expected = [
        format!("\"sha256\":\"{}\"", draft.record.sha256),
        format!("\"certificate\":\"{}\"", trailers[0].certificate),
        format!("\"bytes\":\"{}\"", trailers[0].bytes),
    ];
    let page = fs::read_to_string(fixtures.join("../docs/bundle-spec.md")).unwrap();
    let (_, block) = page.split_once("<!-- vector: trailer -->").unwrap();
    let block: String = block.split("```").nth(1).unwrap().lines().skip(1).collect();
    for part in expected {
        assert!(block.contains(&part), "{part}");
    }
}

fn text_of(bench: &Bench, certificate: &Path) -> String {
    String::from_utf8(bench.openssl(&format!("x509 -inform DER -in {} -noout -text", certificate.display())))
        .unwrap()
}

#[test]
fn a_new_key_is_for_modules_only_and_a_ca_issues_leaves() {
    let bench = Bench::new();
    let files = |name: &str| ModuleKeyFiles::named(&bench.path(name));
    let alone = generate(&files("alone"), ModuleKeyKind::P384, "alone", false, None).unwrap();
    assert!(alone.warnings().is_empty(), "{:?}", alone.warnings());
    let text = text_of(&bench, &files("alone").certificate);
    for line in [
        "CA:FALSE",
        "Digital Signature",
        "1.3.6.1.4.1.2312.16.1.2",
        "Subject Key Identifier",
        "Authority Key Identifier",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    assert!(!text.contains("Code Signing"), "{text}");
    assert_eq!(bench.key("alone").public, alone.key);
    let again = generate(&files("alone"), ModuleKeyKind::P384, "alone", false, None);
    assert!(matches!(again.unwrap_err(), GenerateError::File(crate::KeyFileError::Exists { .. })));

    let ca = generate(&files("ca"), ModuleKeyKind::P384, "ca", true, None).unwrap();
    assert_eq!(ca.warnings().len(), 2, "{:?}", ca.warnings());
    let issuer = bench.key("ca");
    let leaf = generate(&files("leaf"), ModuleKeyKind::P384, "leaf", false, Some((&ca, &issuer))).unwrap();
    assert!(leaf.warnings().is_empty());
    for name in ["ca", "leaf"] {
        bench.openssl(&format!("x509 -inform DER -in {name}.der -out {name}.pem"));
    }
    bench.openssl("verify -CAfile ca.pem leaf.pem");
    // With the CA's certificate alone the message can be verified: the leaf's is in it.
    let signed = trailer(&bench.signer("leaf"));
    fs::write(bench.path("message"), &signed[..signed.len() - 40]).unwrap();
    fs::write(bench.path("body"), BODY).unwrap();
    bench.openssl(
        "cms -verify -binary -inform DER -in message -content body -CAfile ca.pem -purpose any -out /dev/null",
    );
    fs::create_dir(bench.path("again")).unwrap();
    let twin = generate(&files("again/ca"), ModuleKeyKind::P384, "ca", false, Some((&ca, &issuer)));
    assert!(matches!(twin.unwrap_err(), GenerateError::SameName(_)));
    let no_ca = generate(&files("x"), ModuleKeyKind::P384, "x", false, Some((&alone, &bench.key("alone"))));
    assert!(matches!(no_ca.unwrap_err(), GenerateError::NoCa));
    assert!(!files("x").key.exists());
}

#[test]
fn a_new_rsa_key_has_3072_bits() {
    let bench = Bench::new();
    let made =
        generate(&ModuleKeyFiles::named(&bench.path("rsa")), ModuleKeyKind::Rsa, "rsa", false, None).unwrap();
    assert_eq!(made.algorithm(), "RSA-3072 with SHA-256");
    assert_eq!(trailer(&bench.signer("rsa")), bench.expected("rsa", "sha256"));
}

#[test]
fn what_shim_would_boot_is_warned_of() {
    let bench = Bench::new();
    bench.openssl(
        "req -x509 -newkey rsa:2048 -nodes -subj /CN=x -addext extendedKeyUsage=codeSigning -keyout x.key -outform DER -out x.der",
    );
    let warnings = bench.certificate("x").warnings().join("\n");
    for what in ["no digitalSignature", "it is a CA", "for code signing"] {
        assert!(warnings.contains(what), "{warnings}");
    }
}
