//! Takes away rules whose deadline has passed.

use super::change::{Change, has_ended, now};
use super::{Context, Failure};
use crate::config::RuleConfig;

/// Takes away the rules whose deadline has passed; which there were.
///
/// # Errors
///
/// If shaper is not up, or the change fails; then nothing was changed.
pub fn expire(context: &Context) -> anyhow::Result<Vec<RuleConfig>> {
    let (change, dataplane) = match Change::begin_up(context) {
        // What is on trial is committed or taken back soon, and its rules end then.
        Err(error) if is_for_trial(&error) => return Ok(Vec::new()),
        begun => begun?,
    };
    let running = change.running(context)?;
    let now = now();
    let ended = running.rules.iter().filter(|rule| has_ended(rule, now));
    let ended: Vec<RuleConfig> = ended.cloned().collect();
    if !ended.is_empty() {
        change.commit(&dataplane, &running, context)?;
    }
    Ok(ended)
}

/// Whether all that stands in the way is a change on trial.
fn is_for_trial(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Failure::OnTrial { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trial_puts_off_what_ends() {
        let error = |failure: Failure| anyhow::Error::from(failure);
        assert!(is_for_trial(&error(Failure::OnTrial { secs: 7 })));
        assert!(is_for_trial(
            &error(Failure::OnTrial { secs: 7 }).context("while a rule ends")
        ));
        let others = [
            Failure::Usage {
                message: "the group is gone".to_owned(),
                hint: None,
            },
            Failure::Differs {
                message: "degraded".to_owned(),
            },
        ];
        assert!(others.into_iter().all(|failure| !is_for_trial(&error(failure))));
        assert!(!is_for_trial(&crate::dataplane::DataplaneError::NotUp.into()));
    }
}
