//! What was measured, as a table of Markdown.

/// One line: ours, what it is held against, and what it should be.
pub struct Row {
    path: &'static str,
    unit: &'static str,
    ours: f64,
    beside: Vec<(String, f64)>,
    targets: Vec<Target>,
}

/// What a figure should at most be.
struct Target {
    text: String,
    at_most: f64,
}

impl Row {
    pub fn new(path: &'static str, unit: &'static str, ours: f64) -> Self {
        Row {
            path,
            unit,
            ours,
            beside: Vec::new(),
            targets: Vec::new(),
        }
    }

    /// What else was measured in the same rounds.
    pub fn beside(mut self, name: impl Into<String>, figure: f64) -> Self {
        self.beside.push((name.into(), figure));
        self
    }

    /// Ours should be at most so many times a figure of the row.
    pub fn at_most_times(self, times: f64, name: &str) -> Self {
        let found = self.beside.iter().find(|(known, _)| known == name);
        let (_, figure) = found.expect("what a row is held against is in the row");
        let at_most = times * figure;
        self.at_most(format!("{times} x {name}"), at_most)
    }

    /// Ours should be at most so much.
    pub fn at_most(mut self, text: impl Into<String>, at_most: f64) -> Self {
        self.targets.push(Target {
            text: text.into(),
            at_most,
        });
        self
    }

    /// The line. A missed target says by how much.
    fn line(&self) -> String {
        let beside: Vec<String> = self
            .beside
            .iter()
            .map(|(name, figure)| format!("{name} {}", short(*figure)))
            .collect();
        let targets: Vec<String> = self
            .targets
            .iter()
            .map(|target| {
                let verdict = match self.ours / target.at_most {
                    _ if self.ours <= target.at_most => "met".to_owned(),
                    ratio if ratio.is_finite() => format!("missed, {} times that", short(ratio)),
                    _ => "missed".to_owned(),
                };
                format!("{} = {}: {verdict}", target.text, short(target.at_most))
            })
            .collect();
        format!(
            "| {} | {} | {} | {} | {} |",
            self.path,
            self.unit,
            short(self.ours),
            beside.join("; "),
            targets.join("; ")
        )
    }
}

/// Three digits that count.
pub fn short(figure: f64) -> String {
    let digits = match figure.abs() {
        0.0..1.0 => 3,
        1.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{figure:.digits$}")
}

/// The lines so far. Each is shown as it comes, for a later part may fail.
#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    pub fn push(&mut self, row: Row) {
        eprintln!("{}", row.line());
        self.0.push(row);
    }

    pub fn print(&self) {
        println!("\n| path | unit | ours | beside | at most |");
        println!("|---|---|---|---|---|");
        for row in &self.0 {
            println!("{}", row.line());
        }
    }
}
