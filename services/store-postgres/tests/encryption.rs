//! Encrypted connections to a server with a certificate.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod support;

use immune_domain::ErrorKind;
use immune_store_postgres::{OpenError, migrate};
use immune_test_servers::Postgres;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use support::store;

/// Hands a file over to whom the server runs as, where this is not who runs the test.
fn hand_over(path: &Path) {
    let number = |flag: &str, name: &[&str]| -> u32 {
        let ran = Command::new("id").arg(flag).args(name).output().unwrap();
        String::from_utf8(ran.stdout).unwrap().trim().parse().unwrap()
    };
    if number("-u", &[]) == 0 {
        let (user, group) = (number("-u", &["postgres"]), number("-g", &["postgres"]));
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// Scenario: a server with a certificate for its address; a store that checks it, one that trusts another authority,
/// and one that asks for another name.
/// Guarantees: the first works, encrypted; the others are refused before the password is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_certificate_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (certificate, key, other) = (
        folder.path().join("server.crt"),
        folder.path().join("server.key"),
        folder.path().join("other.crt"),
    );
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    hand_over(&key);
    let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();

    let postgres = Postgres::start_with(&[
        "fsync=off",
        "ssl=on",
        &format!("ssl_cert_file={}", certificate.display()),
        &format!("ssl_key_file={}", key.display()),
    ])
    .await;
    let url = postgres.database().await;
    let checked = format!("{url}?sslmode=verify-full&sslrootcert={}", certificate.display());
    migrate(&checked).await.unwrap();
    let good = store(&checked);
    good.check_schema().await.unwrap();
    good.ping().await.unwrap();
    let name = url.rsplit('/').next().unwrap();
    let sql = "SELECT count(*) FILTER (WHERE s.ssl), count(*) FROM pg_stat_ssl s JOIN pg_stat_activity USING (pid) \
               WHERE datname = current_database() AND application_name = 'immune'";
    assert_eq!(postgres.sql(name, sql).await, "1|1");

    let distrusted = format!("{url}?sslmode=verify-full&sslrootcert={}", other.display());
    let misnamed = checked.replace("127.0.0.1", "localhost");
    for url in [distrusted, misnamed] {
        let error = store(&url).check_schema().await.unwrap_err();
        assert!(matches!(error, OpenError::Away { .. }), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("certificate"), "{why}");
    }
}
