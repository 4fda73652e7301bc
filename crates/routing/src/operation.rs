//! What can be asked of the leader of a partition, and what it answers.

use bytes::Bytes;
use longhaul_engine::query::{EndedFilter, EntityQuery, EntityView, InstanceFilter, TimePosition};
use longhaul_engine::{Command, InstanceKey, InstanceView, Reply};
use longhaul_partition::{CommittedHistory, Partition, WaitFor};
use longhaul_types::{ExecutionId, HubId, InstanceId};

use crate::answers::{LateJudge, WorkerAnswer};
use crate::errors::Failure;

/// A call to the leader of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Propose(Command),
    View(InstanceKey),
    Entity {
        key: InstanceKey,
        transient: bool,
    },
    /// The history after what the caller has already.
    History {
        key: InstanceKey,
        known: Option<KnownHistory>,
    },
    Wait {
        key: InstanceKey,
        until: WaitFor,
    },
    Children(InstanceKey),
    QueryInstances {
        filter: InstanceFilter,
        after: Option<TimePosition>,
        limit: usize,
    },
    QueryEnded {
        filter: EndedFilter,
        after: Option<TimePosition>,
        limit: usize,
    },
    QueryEntities {
        query: EntityQuery,
        after: Option<InstanceId>,
        limit: usize,
    },
    RemoveHub(HubId),
    Judge(WorkerAnswer),
}

/// How much of a history has been read: within an execution it only grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownHistory {
    pub(crate) execution: ExecutionId,
    pub(crate) bytes: u64,
}

/// A part of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistoryPage {
    pub(crate) execution: ExecutionId,
    /// Bytes of the history before it.
    pub(crate) offset: u64,
    pub(crate) runs: Vec<Bytes>,
    pub(crate) has_more: bool,
}

/// The answer to an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Reply(Reply),
    View(Option<Box<InstanceView>>),
    Entity(Option<EntityView>),
    History(Option<HistoryPage>),
    Children(Vec<InstanceId>),
    Instances(Vec<InstanceView>),
    Ended(Vec<TimePosition>),
    Entities(Vec<EntityView>),
    /// There is nothing to tell.
    Done,
}

/// Runs an operation on the replica here; `page_bytes` is what one answer may hold of a history.
pub(crate) async fn perform(
    partition: &Partition,
    judge: &LateJudge,
    operation: Operation,
    page_bytes: usize,
) -> Result<Outcome, Failure> {
    Ok(match operation {
        Operation::Propose(command) => Outcome::Reply(partition.propose(command).await?),
        Operation::View(key) => Outcome::View(partition.view(&key).await?.map(Box::new)),
        Operation::Entity { key, transient } => {
            Outcome::Entity(partition.entity(&key, transient).await?)
        }
        Operation::History { key, known } => {
            let history = partition.history(&key).await?;
            Outcome::History(history.map(|it| page(it, known, page_bytes)))
        }
        Operation::Wait { key, until } => {
            let view = partition.wait(&key, until).await?;
            Outcome::View(Some(Box::new(view)))
        }
        Operation::Children(key) => Outcome::Children(partition.children(&key).await?),
        Operation::QueryInstances {
            filter,
            after,
            limit,
        } => Outcome::Instances(partition.query_instances(filter, after, limit).await?),
        Operation::QueryEnded {
            filter,
            after,
            limit,
        } => Outcome::Ended(partition.query_ended(filter, after, limit).await?),
        Operation::QueryEntities {
            query,
            after,
            limit,
        } => Outcome::Entities(partition.query_entities(query, after, limit).await?),
        Operation::RemoveHub(hub) => {
            partition.remove_hub(hub).await?;
            Outcome::Done
        }
        Operation::Judge(answer) => {
            judge.judge(partition.clone(), answer).await?;
            Outcome::Done
        }
    })
}

/// The part of a history that comes after what is known: whole runs, one at least, and no more than `page_bytes`
/// unless one run has more. Where runs begin and end may have changed since, but only at the ends of events.
fn page(history: CommittedHistory, known: Option<KnownHistory>, page_bytes: usize) -> HistoryPage {
    let CommittedHistory { execution, runs } = history;
    let total: u64 = runs.iter().map(|run| run.len() as u64).sum();
    let offset = known
        .filter(|known| known.execution == execution && known.bytes <= total)
        .map_or(0, |known| known.bytes);
    let mut page = HistoryPage {
        execution,
        offset,
        runs: Vec::new(),
        has_more: false,
    };
    let mut skip = offset;
    let mut bytes = 0;
    for mut run in runs {
        if skip >= run.len() as u64 {
            skip -= run.len() as u64;
            continue;
        }
        run = run.slice(usize::try_from(skip).expect("less than the run")..);
        skip = 0;
        if !page.runs.is_empty() && bytes + run.len() > page_bytes {
            page.has_more = true;
            break;
        }
        bytes += run.len();
        page.runs.push(run);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(runs: &[&'static str]) -> CommittedHistory {
        CommittedHistory {
            execution: ExecutionId::new("e"),
            runs: runs
                .iter()
                .map(|run| Bytes::from_static(run.as_bytes()))
                .collect(),
        }
    }

    fn known(execution: &str, bytes: u64) -> Option<KnownHistory> {
        Some(KnownHistory {
            execution: ExecutionId::new(execution),
            bytes,
        })
    }

    fn texts(page: &HistoryPage) -> Vec<&str> {
        let runs = page.runs.iter();
        runs.map(|run| std::str::from_utf8(run).expect("text"))
            .collect()
    }

    #[test]
    fn pages_follow_each_other_in_whole_runs() {
        let runs = ["aaaa", "bb", "", "ccccccccc", "d"];
        let first = page(history(&runs), None, 6);
        assert_eq!((texts(&first), first.has_more), (vec!["aaaa", "bb"], true));
        let second = page(history(&runs), known("e", 6), 6);
        assert_eq!((texts(&second), second.has_more), (vec!["ccccccccc"], true));
        let third = page(history(&runs), known("e", 15), 6);
        assert_eq!((texts(&third), third.has_more), (vec!["d"], false));
        let fourth = page(history(&runs), known("e", 16), 6);
        assert_eq!((texts(&fourth), fourth.has_more), (vec![], false));
    }

    #[test]
    fn runs_that_were_joined_since_are_cut_where_the_reader_was() {
        let page = page(history(&["aaaabbcc"]), known("e", 4), 100);
        assert_eq!((texts(&page), page.offset), (vec!["bbcc"], 4));
    }

    #[test]
    fn another_execution_is_read_from_its_beginning() {
        for known in [known("other", 4), known("e", 9)] {
            let page = page(history(&["aaaa", "bb"]), known, 100);
            assert_eq!((texts(&page), page.offset), (vec!["aaaa", "bb"], 0));
        }
    }
}
