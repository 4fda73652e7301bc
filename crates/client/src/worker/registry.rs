//! The orchestrators, activities and entities a worker hosts, by name.

use std::{collections::BTreeMap, fmt, sync::Arc};

use longhaul_proto::sidecar::{ActivityFilter, EntityFilter, OrchestrationFilter, WorkItemFilters};

use super::{activity::Activity, entity::Entity, orchestrator::Orchestrator};

/// Names and what runs under them.
#[derive(Clone, Default)]
pub struct Registry {
    orchestrators: BTreeMap<String, Arc<dyn Orchestrator>>,
    activities: BTreeMap<String, Arc<dyn Activity>>,
    entities: BTreeMap<String, Arc<dyn Entity>>,
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

    /// Adds an entity; the last one under a name counts. Names of entities are the same in upper and lower case.
    #[must_use]
    pub fn entity(mut self, name: impl Into<String>, entity: impl Entity) -> Self {
        let name = name.into().to_lowercase();
        self.entities.insert(name, Arc::new(entity));
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

    /// The entity of that name, which is in lower case.
    pub fn find_entity(&self, name: &str) -> Option<&dyn Entity> {
        self.entities.get(name).map(Arc::as_ref)
    }

    /// The orchestrator hosted, if it is one alone.
    pub(super) fn only_orchestrator(&self) -> Option<&dyn Orchestrator> {
        let mut orchestrators = self.orchestrators.values();
        let only = orchestrators.next().filter(|_| orchestrators.len() == 0)?;
        Some(only.as_ref())
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
        let entity = |name: &String| EntityFilter { name: name.clone() };
        WorkItemFilters {
            orchestrations: self.orchestrators.keys().map(orchestration).collect(),
            activities: self.activities.keys().map(activity).collect(),
            entities: self.entities.keys().map(entity).collect(),
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("orchestrators", &self.orchestrators.keys())
            .field("activities", &self.activities.keys())
            .field("entities", &self.entities.keys())
            .finish()
    }
}
