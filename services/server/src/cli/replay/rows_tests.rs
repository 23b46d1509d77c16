use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

const ROW: &str = r#"{"stream":"s","t":1.5,"agent_id":"a","latency_ms":null,"token_count":418,"label":0}"#;

struct Scratch(PathBuf);

impl Scratch {
    fn of(name: &str, content: &[u8]) -> Self {
        let file = format!("immune-rows-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, content).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn mistake(name: &str, content: &[u8]) -> String {
    let file = Scratch::of(name, content);
    let mut rows = Rows::open(&file.0).unwrap();
    loop {
        match rows.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("{name}: no mistake"),
            Err(error) => return format!("{error:#}"),
        }
    }
}

/// Scenario: the same rows plain, as gzip, and as two gzips after one another, with an empty line.
/// Guarantees: all are read alike; null and absent fields are unknown, unknown fields are ignored.
#[test]
fn plain_and_gzip_are_the_same() {
    let text = format!("{ROW}\n\n{ROW}");
    let two = [gzip(format!("{ROW}\n").as_bytes()), gzip(ROW.as_bytes())].concat();
    for (name, content) in [
        ("plain", text.clone().into_bytes()),
        ("gz", gzip(text.as_bytes())),
        ("two", two),
    ] {
        let file = Scratch::of(name, &content);
        let mut rows = Rows::open(&file.0).unwrap();
        let first = rows.next().unwrap().unwrap();
        assert_eq!(
            (first.t, first.token_count, first.latency_ms),
            (1.5, Some(418.0), None)
        );
        assert_eq!((first.retries, first.success), (None, None));
        assert!(
            rows.next().unwrap().is_some() && rows.next().unwrap().is_none(),
            "{name}"
        );
    }
}

/// Guarantees: whatever is wrong with a row is said with file and line, and with the field and its value.
#[test]
fn mistakes_name_file_and_line() {
    let cases = [
        ("json", "{", "EOF"),
        ("stream", r#"{"t":1}"#, "missing field `stream`"),
        ("noname", r#"{"stream":"","t":1}"#, "stream has 0 bytes"),
        ("t", r#"{"stream":"s","t":-1}"#, "t = -1: must be seconds"),
        (
            "millis",
            r#"{"stream":"s","t":1700000000000}"#,
            "t = 1700000000000: must be seconds",
        ),
        (
            "latency",
            r#"{"stream":"s","t":1,"latency_ms":-2}"#,
            "latency_ms = -2: must be 0 or more",
        ),
        (
            "tokens",
            r#"{"stream":"s","t":1,"token_count":1.5}"#,
            "token_count = 1.5: must be a whole number",
        ),
        (
            "success",
            r#"{"stream":"s","t":1,"success":"yes"}"#,
            "invalid type",
        ),
    ];
    for (name, line, expected) in cases {
        let said = mistake(name, format!("{ROW}\n{line}\n").as_bytes());
        assert!(
            said.contains(name) && said.contains("line 2") && said.contains(expected),
            "{said}"
        );
    }
}

/// Scenario: a line without end; compressed data that unpacks to more than may be; compressed data that is cut.
/// Guarantees: each ends with a mistake, after at most a line's worth of memory.
#[test]
fn bombs_and_torn_files_are_refused() {
    let endless = vec![b' '; LINE_BYTES_MAX + 2];
    assert!(mistake("endless", &gzip(&endless)).contains("line 1: longer than 1048576 bytes"));

    let file = Scratch::of("bomb", &gzip(&b"\n".repeat(5_000_000)));
    assert!(std::fs::metadata(&file.0).unwrap().len() < 10_000);
    let mut rows = Rows::open_at_most(&file.0, 1_000_000).unwrap();
    let said = format!("{:#}", rows.next().unwrap_err());
    assert!(said.contains("larger than it may be"), "{said}");

    let whole = gzip(format!("{ROW}\n").repeat(1_000).as_bytes());
    let said = mistake("torn", &whole[..whole.len() - 20]);
    assert!(said.contains("torn"), "{said}");
}
