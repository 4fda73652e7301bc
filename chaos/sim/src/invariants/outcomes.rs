//! Every orchestration ends as its input and its story say.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_engine::Status;
use longhaul_types::Timestamp;

use super::Invariant;
use crate::moment::{Moment, Request, View};
use crate::orchestrations;
use crate::plan::{Deed, Plan};

pub(super) struct Outcomes {
    /// By instance: whether its story ends it.
    stories: BTreeMap<String, bool>,
    terminated: BTreeSet<String>,
    ended: BTreeSet<String>,
}

impl Outcomes {
    pub(super) fn new(plan: &Plan) -> Self {
        let stories = plan
            .stories
            .iter()
            .filter(|story| story.starts_its_instance());
        Self {
            stories: stories
                .map(|story| {
                    (
                        story.instance.clone(),
                        matches!(story.deed, Deed::End { .. }),
                    )
                })
                .collect(),
            terminated: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    /// Children share the fate of whom they begin with.
    fn may_be_terminated(&self, instance: &str) -> bool {
        let root = instance.split('.').next().unwrap_or(instance);
        self.stories.get(root) == Some(&true) && self.terminated.contains(root)
    }

    fn ended(&mut self, instance: &str, view: &View) -> Result<(), String> {
        let (may_fail, may_succeed) = orchestrations::may_fail_and_succeed(&view.input);
        let fits = match view.status {
            Status::Failed => may_fail,
            Status::Completed if !may_succeed => false,
            Status::Completed => {
                let expected = orchestrations::expected(instance, &view.input);
                expected.is_none_or(|expected| Some(expected) == view.output)
            }
            Status::Terminated => {
                self.may_be_terminated(instance) && view.output.as_deref() == Some("ended")
            }
            _ => false,
        };
        self.ended.insert(instance.to_owned());
        match fits {
            true => Ok(()),
            false => Err(format!("{instance} ended as {view:?}")),
        }
    }
}

impl Invariant for Outcomes {
    fn name(&self) -> &'static str {
        "orchestrations end as they should"
    }

    fn judge(&mut self, moment: &Moment, _high: Timestamp) -> Result<(), String> {
        match moment {
            Moment::Asked {
                request: Request::Terminate { instance, .. } | Request::Force { instance },
                ..
            } => {
                self.terminated.insert(instance.clone());
                Ok(())
            }
            Moment::Seen {
                instance,
                view: Some(view),
            } if view.status.is_terminal() => self.ended(instance, view),
            Moment::Rest { .. } => match self.stories.keys().find(|it| !self.ended.contains(*it)) {
                Some(missing) => Err(format!("{missing} has not been seen to end")),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
