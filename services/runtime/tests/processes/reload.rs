//! Certificates that change while connections go on.

use super::certificates::{Authority, of_client, of_server, role};
use super::fake::{Fake, Replica, client, connected, get, quick, secured, until};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tempfile::TempDir;

/// Replaces what a mounted secret holds, as Kubernetes does: the files are links into `..data`, which is a link that
/// is replaced by another.
fn mount(folder: &Path, version: &str, write: impl FnOnce(&Path)) {
    write(&folder.join(version));
    std::os::unix::fs::symlink(version, folder.join("..next")).unwrap();
    std::fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    for file in ["ca.crt", "tls.crt", "tls.key"] {
        let link = folder.join(file);
        if !link.exists() {
            std::os::unix::fs::symlink(Path::new("..data").join(file), link).unwrap();
        }
    }
}

/// Scenario: certificates of server and caller move to another authority by way of trusting both, with a broken file
/// between, while calls go on.
/// Guarantees: no call fails; in the end the old authority is not believed any more and the new one is.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_calls() {
    let folder = TempDir::new().unwrap();
    let (server, caller) = (folder.path().join("server"), folder.path().join("caller"));
    std::fs::create_dir_all(&server).unwrap();
    std::fs::create_dir_all(&caller).unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    let both = |folder: &Path, signer: &Authority, name| {
        signer.write(folder, &role(name));
        std::fs::write(folder.join("ca.crt"), old.pem() + &new.pem()).unwrap();
    };
    mount(&server, "1", |folder| old.write(folder, &role("immune-baseline")));
    mount(&caller, "1", |folder| old.write(folder, &role("immune-sentinel")));
    let replica = Replica::start_at(([127, 0, 0, 1], 0).into(), Fake::new(), of_server(server.clone()));
    let peers = secured(&[&replica], &quick(), of_client(&caller));
    connected(&peers, 1).await;

    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let calling = tokio::spawn({
        let (client, stop, done) = (client(&peers), stop.clone(), done.clone());
        async move {
            while !stop.load(Ordering::SeqCst) {
                get(&client).await.unwrap();
                done.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
    });
    // A half written file: the key of another certificate.
    mount(&server, "2", |folder| {
        old.write(folder, &role("immune-baseline"));
        std::fs::write(folder.join("tls.key"), new.sign(&role("x")).1).unwrap();
    });
    let looked_at = tokio::time::Instant::now() + 2 * immune_runtime::tls::LOOK_EVERY;
    until("the files were looked at", async || {
        tokio::time::Instant::now() > looked_at
    })
    .await;
    let fresh = folder.path().join("fresh");
    old.write(&fresh, &role("immune-sentinel"));
    connected(&secured(&[&replica], &quick(), of_client(&fresh)), 1).await;

    mount(&server, "3", |folder| both(folder, &old, "immune-baseline"));
    mount(&caller, "3", |folder| both(folder, &old, "immune-sentinel"));
    let both_known = folder.path().join("new");
    both(&both_known, &new, "immune-sentinel");
    let by_new = secured(&[&replica], &quick(), of_client(&both_known));
    connected(&by_new, 1).await;

    mount(&caller, "4", |folder| both(folder, &new, "immune-sentinel"));
    mount(&server, "4", |folder| new.write(folder, &role("immune-baseline")));
    until("the old authority is not believed any more", async || {
        let late = secured(&[&replica], &quick(), of_client(&fresh));
        until("it is decided", async || {
            late.is_reachable() || late.problem().is_some_and(|problem| problem.contains("TLS"))
        })
        .await;
        !late.is_reachable()
    })
    .await;
    let before = done.load(Ordering::SeqCst);
    until("calls go on", async || done.load(Ordering::SeqCst) > before + 50).await;
    stop.store(true, Ordering::SeqCst);
    calling.await.expect("no call failed");
    connected(&peers, 1).await;
}
