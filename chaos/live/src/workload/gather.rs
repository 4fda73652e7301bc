//! Reads from the nodes, once everything has ended, what became of it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Result, anyhow};
use longhaul_client::{Client, Code, Detail};
use longhaul_proto::sidecar::HistoryEvent;
use tokio::time::{Instant, sleep};

use super::{
    Shared, Started,
    calls::{Caller, Insisted},
    ledger::Ledger,
    shapes::Shape,
};
use crate::{
    record::{Instance, Record, Tally},
    verdict,
};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Long enough for a batch that a lost worker held to be somebody else's.
const SIGNALS_DONE_WITHIN: Duration = Duration::from_secs(60);

/// All that was seen, with what there is. Instances are read from all nodes in turn.
///
/// # Errors
/// If the nodes do not answer.
pub async fn gather(shared: &Shared, nodes: usize, effects: &Path) -> Result<Record> {
    let mut readers = Vec::new();
    for node in 0..nodes {
        readers.push(shared.caller(node).await?);
    }
    let reader = Reader {
        shared,
        client: &readers[0],
    };
    let entities = reader.entities().await?;
    let seen = std::mem::take(&mut *shared.seen.lock());
    let mut record = Record {
        raised: seen.raised,
        signals: seen.signals,
        effects: Ledger::read(effects)?,
        entities,
        sightings: seen.sightings,
        stale_reads: seen.stale_reads,
        refusals: seen.refusals,
        unfinished: seen.unfinished,
        ..Record::default()
    };
    for (nth, started) in seen.started.into_iter().enumerate() {
        let client = &readers[nth % nodes];
        Reader { shared, client }
            .read_into(&mut record, started)
            .await?;
    }
    // A signal is done some time after it is acknowledged.
    let deadline = Instant::now() + shared.ends_within.min(SIGNALS_DONE_WITHIN);
    while !verdict::entities_are_done(&record) && Instant::now() < deadline {
        sleep(LOOK_EVERY).await;
        record.entities = reader.entities().await?;
    }
    Ok(record)
}

struct Reader<'a> {
    shared: &'a Shared,
    client: &'a Caller,
}

impl Reader<'_> {
    async fn read_into(&self, record: &mut Record, started: Started) -> Result<()> {
        for (id, shape) in started.shape.children(&started.id) {
            record.children.push(self.instance(id, shape, None).await?);
        }
        let execution_id = Some(started.execution_id);
        let instance = self.instance(started.id, started.shape, execution_id);
        record.instances.push(instance.await?);
        Ok(())
    }

    async fn instance(
        &self,
        id: String,
        shape: Shape,
        execution_id: Option<String>,
    ) -> Result<Instance> {
        let state = self
            .read(|client| {
                let id = id.clone();
                async move { client.get(&id, Detail::Payloads).await }
            })
            .await?;
        Ok(Instance {
            state: state.flatten(),
            history: self.history(&id).await?,
            id,
            shape,
            execution_id,
        })
    }

    async fn history(&self, id: &str) -> Result<Vec<HistoryEvent>> {
        let history = self
            .read(|client| {
                let id = id.to_owned();
                async move { client.work_item_history(&id, None).await }
            })
            .await?;
        Ok(history.unwrap_or_default())
    }

    async fn entities(&self) -> Result<BTreeMap<String, Option<Tally>>> {
        let mut entities = BTreeMap::new();
        for nth in 0..self.shared.size.accounts {
            let id = self.shared.account(nth);
            let entity = self
                .read(|client| {
                    let id = id.clone();
                    async move { client.get_entity(&id).await }
                })
                .await?
                .flatten();
            let state = entity.and_then(|entity| entity.serialized_state);
            let tally = state
                .map(|state| serde_json::from_str(&state))
                .transpose()?;
            entities.insert(id, tally);
        }
        Ok(entities)
    }

    /// An answer, or none if there is no such thing.
    async fn read<T, F>(&self, call: impl Fn(Client) -> F) -> Result<Option<T>>
    where
        F: Future<Output = Result<T, longhaul_client::CallError>>,
    {
        match self.client.insist(self.shared.ends_within, call).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Insisted::Refused(Code::NotFound, _)) => Ok(None),
            Err(failure) => Err(anyhow!("reading what became of it: {failure:?}")),
        }
    }
}
