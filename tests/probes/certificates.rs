//! nginx with certificates that are good, expired, of another name, signed by themselves, about to expire, and with one that asks for ours:
//! who is believed, and in which words the log says why not.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::common::daemon::Daemon;
use crate::fronts::nginx;
use crate::site::{BRISK, Site};

const HOUR: Duration = Duration::from_secs(3_600);

/// Names that nginx serves, each with the certificate of this name; `stranger` is one that it has no certificate for.
const NAMES: [&str; 5] = ["good", "expired", "ending", "self-signed", "asks-for-ours"];

/// A server of nginx; the first is the one for names that nobody has.
fn server(name: &str) -> String {
    let more = if name == "asks-for-ours" { "ssl_verify_client on; ssl_client_certificate clients.pem;" } else { "" };
    format!(
        "server {{ listen @ADDRESS@:@PORT@ ssl; server_name {name}.test; ssl_certificate {name}.pem; ssl_certificate_key {name}.key; {more} \
         location / {{ return 200 fine; }} }}\n    "
    )
}

/// An authority that signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key, as PEM.
    fn sign(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// For a name, from `from_days` to `to_days` from now.
fn params(name: &str, from_days: i32, to_days: i32) -> CertificateParams {
    let mut params = CertificateParams::new(vec![format!("{name}.test")]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let day = |days: i32| {
        // And a half, so that it is the same number of whole days a second later.
        let distance = HOUR * (24 * days.unsigned_abs() + 12);
        if days < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
    };
    (params.not_before, params.not_after) = (day(from_days).into(), day(to_days).into());
    params
}

/// Files of nginx and of Meridian: name and content.
struct Files(Vec<(String, String)>);

impl Files {
    fn make() -> Files {
        let (ours, theirs) = (Authority::new("Our authority"), Authority::new("Authority of clients"));
        let self_signed = || {
            let key = KeyPair::generate().unwrap();
            (params("self-signed", -1, 90).self_signed(&key).unwrap().pem(), key.serialize_pem())
        };
        let pairs = [
            ("good", ours.sign(&params("good", -1, 90))),
            ("expired", ours.sign(&params("expired", -30, -1))),
            ("ending", ours.sign(&params("ending", -80, 10))),
            ("self-signed", self_signed()),
            ("asks-for-ours", ours.sign(&params("asks-for-ours", -1, 90))),
            ("prober", theirs.sign(&params("prober", -1, 90))),
            ("impostor", Authority::new("Nobody").sign(&params("prober", -1, 90))),
        ];
        let pairs = pairs.into_iter().flat_map(|(name, (pem, key))| [(format!("{name}.pem"), pem), (format!("{name}.key"), key)]);
        Files(pairs.chain([("ca.pem".to_owned(), ours.pem), ("clients.pem".to_owned(), theirs.pem)]).collect())
    }

    fn all(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
    }
}

/// nginx with all these certificates, where it is installed, and a site with these services on a machine that trusts our authority.
fn start<const N: usize>(services: impl FnOnce(u16) -> [(&'static str, String); N]) -> Option<(Daemon, Site)> {
    let files = Files::make();
    let nginx = nginx(&NAMES.map(server).concat(), &files.all())?;
    let services = services(nginx.address().port());
    let services: Vec<(&str, &str)> = services.iter().map(|(name, settings)| (*name, settings.as_str())).collect();
    let site = Site::start_trusting(&services, &files.all(), Some("ca.pem"));
    Some((nginx, site))
}

#[test]
fn h3_certificates_are_believed_or_not_for_the_reason_that_the_log_gives() {
    let shown = |name: &str| format!(", ca: ca.pem, client_cert: {name}.pem, client_key: {name}.key");
    // Service, name asked for, other keys, whether it stays, what is seen.
    let cases = [
        ("good", "good", ", ca: ca.pem".to_owned(), true, "HTTP 200"),
        ("good-by-system", "good", String::new(), true, "HTTP 200"),
        ("expired", "expired", ", ca: ca.pem".to_owned(), false, "expired"),
        ("other-name", "stranger", ", ca: ca.pem".to_owned(), false, "not valid for name"),
        ("self-signed", "self-signed", String::new(), false, "UnknownIssuer"),
        ("other-authority", "good", ", ca: clients.pem".to_owned(), false, "UnknownIssuer"),
        ("self-signed-trusted", "self-signed", ", verify: false".to_owned(), true, "HTTP 200"),
        ("own-trusted", "self-signed", ", ca: self-signed.pem".to_owned(), true, "HTTP 200"),
        ("expired-not-checked", "expired", ", verify: false".to_owned(), true, "HTTP 200"),
        ("nothing-shown", "asks-for-ours", ", ca: ca.pem".to_owned(), false, "HTTP 400"),
        ("shown", "asks-for-ours", shown("prober"), true, "HTTP 200"),
        ("impostor-shown", "asks-for-ours", shown("impostor"), false, "HTTP 400"),
    ];
    let services = |port| {
        cases.each_ref().map(|(service, name, more, ..)| {
            (*service, format!("monitor: {{https: {{path: /{service}, port: {port}, host: {name}.test{more}}}, {BRISK}}}"))
        })
    };
    let Some((_nginx, site)) = start(services) else { return };
    let mut odd = String::new();
    for (service, name, _, stays, expected) in &cases {
        let (_, evidence) = site.target(&format!("/{service} (Host {name}.test)"));
        if site.is_home(service) != *stays || !evidence.contains(expected) {
            odd += &format!("{service}: home {}, `{evidence}`, not `{expected}`\n", site.is_home(service));
        }
    }
    assert!(odd.is_empty(), "{odd}");
}

#[test]
fn the_days_that_a_certificate_has_left_degrade_and_fail() {
    let cases = [
        ("days-good", "good", "ca: ca.pem, days_left: {degraded: 21, fail: 3}", "up", "TLS, 90 days left"),
        ("days-ending", "ending", "ca: ca.pem, days_left: {degraded: 21, fail: 3}", "degraded", "TLS, 10 days left"),
        ("days-few", "ending", "ca: ca.pem, days_left: {fail: 14}", "down", "TLS, 10 days left"),
        ("days-over", "expired", "ca: ca.pem", "down", "expired"),
        ("days-over-not-checked", "expired", "verify: false, days_left: {fail: 0}", "down", "TLS, -2 days left"),
    ];
    let services = |port| {
        cases.map(|(service, name, more, ..)| {
            (service, format!("monitor: {{tls: {{port: {port}, sni: {name}.test, {more}}}, {BRISK}}}, degraded_admit: 100%"))
        })
    };
    let Some((_nginx, site)) = start(services) else { return };
    for (service, name, _, state, expected) in cases {
        let told = [&format!("(SNI {name}.test)"), "from=unknown", &format!("to={state} "), expected];
        site.server().wait_for_all(0, &told);
        assert_eq!(site.is_home(service), state != "down", "{service}: {}", site.status());
    }
}
