#[test]
fn numbers() {
    let text = std::fs::read_to_string("/tmp/log_nums.txt").unwrap();
    let mut bad = 0;
    for line in text.lines() {
        let (bits, want) = line.split_once(' ').unwrap();
        let x = f64::from_bits(bits.parse().unwrap());
        let got = immune_store::action_log::canonical_json(&serde_json::json!(x));
        if got != want { bad += 1; if bad < 10 { println!("{x:e} {got} {want}"); } }
    }
    assert_eq!(bad, 0);
    println!("{} agree", text.lines().count());
}
