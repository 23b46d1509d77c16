//! Why an execution may or may not teach the baseline: the sentinel's word, which the baseline role obeys.

/// Why an execution may or may not teach the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It may.
    Healthy,
    /// The window that it is in is anomalous.
    AnomalousWindow,
    /// The evidence says that the agent is infected.
    Infected,
    /// The agent has been at another level for long; nobody has said that it is the right one.
    OtherLevel,
    /// The platform calls the agent infected.
    PlatformReport,
    /// The agent has an open case.
    OpenCase,
    /// It failed: it teaches how often the agent fails, and nothing of how much it takes.
    Failed,
    /// It is history.
    Late,
    /// It has not ended.
    Running,
    /// Its own span never came.
    Incomplete,
    /// It began before the agent was healed or released, or its baseline was set.
    BeforeRelease,
    /// No baseline has told its profiles yet.
    ProfilesUnknown,
    /// It was posted, and policy says that posted vitals are not judged.
    NotJudged,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 13] = [
        Reason::Healthy,
        Reason::AnomalousWindow,
        Reason::Infected,
        Reason::OtherLevel,
        Reason::PlatformReport,
        Reason::OpenCase,
        Reason::Failed,
        Reason::Late,
        Reason::Running,
        Reason::Incomplete,
        Reason::BeforeRelease,
        Reason::ProfilesUnknown,
        Reason::NotJudged,
    ];

    /// Whether the execution may teach.
    pub const fn teaches(self) -> bool {
        matches!(self, Reason::Healthy)
    }

    /// Whether it shows the agent sick, so that what it did just before may not teach either; the others concern one
    /// execution alone.
    pub const fn shows_sickness(self) -> bool {
        match self {
            Reason::AnomalousWindow
            | Reason::Infected
            | Reason::OtherLevel
            | Reason::PlatformReport
            | Reason::OpenCase => true,
            Reason::Healthy
            | Reason::Failed
            | Reason::Late
            | Reason::Running
            | Reason::Incomplete
            | Reason::BeforeRelease
            | Reason::ProfilesUnknown
            | Reason::NotJudged => false,
        }
    }

    /// Name on the wire; empty for the healthy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Healthy => "",
            Reason::AnomalousWindow => "anomalous_window",
            Reason::Infected => "infected",
            Reason::OtherLevel => "other_level",
            Reason::PlatformReport => "platform_report",
            Reason::OpenCase => "open_case",
            Reason::Failed => "failed",
            Reason::Late => "late",
            Reason::Running => "running",
            Reason::Incomplete => "incomplete",
            Reason::BeforeRelease => "before_release",
            Reason::ProfilesUnknown => "profiles_unknown",
            Reason::NotJudged => "not_judged",
        }
    }

    /// The reason of this name; `None` where it is none of ours, which a newer sentinel may have.
    pub fn named(name: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}
