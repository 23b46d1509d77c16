use super::*;

fn ill(infection: Infection, strength: Strength) -> State {
    let mut state = State::new(AgentType::Research);
    state.remember(100);
    state.fall_ill(infection, strength);
    state
}

/// Scenario: every infection in both strengths, treated with every action.
/// Guarantees: it is cured by exactly the actions that its table names, and an action that failed changed nothing.
#[test]
fn each_infection_is_cured_by_exactly_its_actions() {
    for kind in AgentType::ALL {
        for infection in Infection::ALL {
            for strength in [Strength::Mild, Strength::Severe] {
                for action in Action::ALL {
                    let mut state = State::new(kind);
                    state.fall_ill(infection, strength);
                    assert_eq!(state.ailments(), vec![(infection, strength)]);
                    let before = state.clone();
                    match state.act(action) {
                        Ok(_) => {
                            let cured = state.ailments().is_empty();
                            assert_eq!(
                                cured,
                                infection.cures().contains(&action),
                                "{infection} by {action}"
                            );
                        }
                        Err(_) => {
                            assert_eq!(state, before);
                            assert!(!infection.cures().contains(&action), "{infection} by {action}");
                        }
                    }
                }
            }
        }
    }
}

/// Scenario: an agent is cured with reduced autonomy or without a tool, and released.
/// Guarantees: it gets back what was taken, mended, and can fall ill of the same again.
#[test]
fn release_gives_back_what_healing_took() {
    for action in [Action::ReduceAutonomy, Action::RevokeTools] {
        let mut state = ill(Infection::LatencySpike, Strength::Severe);
        state.act(action).unwrap();
        assert!(state.tools.iter().any(|tool| !tool.in_use));
        state.give_back();
        assert!(state.ailments().is_empty());
        assert!(state.tools.iter().all(|tool| tool.in_use));
        assert_eq!(state.autonomy, AUTONOMY_USUAL);
        state.fall_ill(Infection::LatencySpike, Strength::Mild);
        assert_eq!(state.ailments().len(), 1);
    }
}

/// Scenario: an agent that was never healed is released.
/// Guarantees: it is as ill as before.
#[test]
fn release_heals_nothing() {
    for infection in Infection::ALL {
        let mut state = ill(infection, Strength::Mild);
        state.give_back();
        assert_eq!(state.ailments(), vec![(infection, Strength::Mild)]);
    }
}

/// Scenario: actions that find nothing to do.
/// Guarantees: they say so instead of claiming an effect.
#[test]
fn nothing_to_do_is_refused() {
    let mut state = State::new(AgentType::Data);
    assert!(state.act(Action::RollbackPrompt).is_err());
    assert!(state.act(Action::RevokeTools).is_err());
    assert!(state.act(Action::ReduceAutonomy).is_ok());
    assert!(state.act(Action::ReduceAutonomy).is_ok());
    assert!(state.act(Action::ReduceAutonomy).is_err());
}

/// Guarantees: memory of ordinary work is bounded, and what ails the memory is not forgotten with it.
#[test]
fn memory_is_bounded() {
    let mut state = ill(Infection::MemoryCorruption, Strength::Mild);
    for _ in 0..1_000 {
        state.remember(100);
    }
    assert_eq!(state.memory.len(), FACTS_MAX + 1);
    assert_eq!(state.ailments().len(), 1);
}
