//! Orchestrations: that they exist, once, and end with what they should.

use longhaul_proto::sidecar::OrchestrationStatus;
use serde::de::DeserializeOwned;

use crate::{
    record::{Instance, Record},
    workload::shapes::{Done, Shape},
};

impl Instance {
    pub(super) fn is_completed(&self) -> bool {
        self.state
            .as_ref()
            .is_some_and(|state| state.orchestration_status() == OrchestrationStatus::Completed)
    }

    /// Its output, if it completed with one of this form.
    pub(super) fn output<T: DeserializeOwned>(&self) -> Option<T> {
        let state = self.state.as_ref().filter(|_| self.is_completed())?;
        serde_json::from_str(state.output.as_deref()?).ok()
    }
}

pub(super) fn lost(record: &Record) -> Vec<String> {
    let gone = record.everything().filter(|instance| {
        // A child exists only once its parent has gone so far.
        instance.state.is_none() && instance.execution_id.is_some()
    });
    gone.map(|instance| format!("{} is gone", instance.id))
        .collect()
}

pub(super) fn started_twice(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for instance in &record.instances {
        let Some(state) = &instance.state else {
            continue;
        };
        if state.execution_id != instance.execution_id {
            violations.push(format!(
                "{} runs as execution {:?} instead of {:?}",
                instance.id, state.execution_id, instance.execution_id
            ));
        }
    }
    violations
}

pub(super) fn incomplete(record: &Record) -> Vec<String> {
    let incomplete = record
        .everything()
        .filter(|instance| !instance.is_completed());
    incomplete
        .map(|instance| {
            let status = instance
                .state
                .as_ref()
                .map_or("absent", |state| state.orchestration_status().as_str_name());
            let why = instance
                .state
                .as_ref()
                .and_then(|state| Some(&state.failure_details.as_ref()?.error_message));
            let events = instance.history.len();
            let shape = instance.shape.name();
            format!(
                "{} ({shape}) is {status} after {events} events; {why:?}",
                instance.id
            )
        })
        .collect()
}

pub(super) fn wrong_outputs(record: &Record) -> Vec<String> {
    let completed = record
        .everything()
        .filter(|instance| instance.is_completed());
    completed
        .filter(|instance| !is_right(instance))
        .map(|instance| {
            let output = instance
                .state
                .as_ref()
                .and_then(|state| state.output.as_ref());
            format!("{} ({:?}) returned {output:?}", instance.id, instance.shape)
        })
        .collect()
}

fn is_right(instance: &Instance) -> bool {
    match &instance.shape {
        Shape::Fan(_) | Shape::Naps(_) => {
            let done: Option<Vec<Done>> = instance.output();
            let numbers = done.map(|done| done.iter().map(|done| done.number).collect());
            numbers == Some(instance.shape.numbers())
        }
        Shape::Family(widths) => instance.output() == Some(widths.len()),
        Shape::Bookings { count, .. } => instance.output() == Some(*count),
        // What is in them is judged elsewhere.
        Shape::Counter => instance.output::<Vec<String>>().is_some(),
        Shape::Transfer { .. } => instance
            .output::<crate::workload::shapes::Transferred>()
            .is_some(),
    }
}
