//! The orchestrators and activities a worker hosts, by name.

use std::{collections::BTreeMap, fmt, sync::Arc};

use longhaul_proto::sidecar::{ActivityFilter, OrchestrationFilter, WorkItemFilters};

use super::{activity::Activity, orchestrator::Orchestrator};

/// Names and what runs under them.
#[derive(Clone, Default)]
pub struct Registry {
    orchestrators: BTreeMap<String, Arc<dyn Orchestrator>>,
    activities: BTreeMap<String, Arc<dyn Activity>>,
}

impl Registry {
    /// Adds an orchestrator; the last one under a name counts.
    #[must_use]
    pub fn orchestrator(
        mut self,
        name: impl Into<String>,
        orchestrator: impl Orchestrator,
    ) -> Self {
        self.orchestrators
            .insert(name.into(), Arc::new(orchestrator));
        self
    }

    /// Adds an activity; the last one under a name counts.
    #[must_use]
    pub fn activity(mut self, name: impl Into<String>, activity: impl Activity) -> Self {
        self.activities.insert(name.into(), Arc::new(activity));
        self
    }

    /// The orchestrator of that name.
    pub fn find_orchestrator(&self, name: &str) -> Option<&dyn Orchestrator> {
        self.orchestrators.get(name).map(Arc::as_ref)
    }

    /// The activity of that name.
    pub fn find_activity(&self, name: &str) -> Option<&dyn Activity> {
        self.activities.get(name).map(Arc::as_ref)
    }

    /// Asks the server for these names only, so that workers of other programs can share the task hub.
    pub(super) fn filters(&self) -> WorkItemFilters {
        let orchestration = |name: &String| OrchestrationFilter {
            name: name.clone(),
            ..Default::default()
        };
        let activity = |name: &String| ActivityFilter {
            name: name.clone(),
            ..Default::default()
        };
        WorkItemFilters {
            orchestrations: self.orchestrators.keys().map(orchestration).collect(),
            activities: self.activities.keys().map(activity).collect(),
            entities: Vec::new(),
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("orchestrators", &self.orchestrators.keys())
            .field("activities", &self.activities.keys())
            .finish()
    }
}
