//! Rebuilds from state alone what a new leader must be doing.

use longhaul_types::Timestamp;

use crate::dispatch;
use crate::effects::Effect;
use crate::key::InstanceKey;
use crate::tables::{TableFault, Tables};

/// A page of what is outstanding.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Work to offer, timers to arm, outboxes to ship.
    pub effects: Vec<Effect>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<InstanceKey>,
}

/// Derives what the leader must be doing for up to `limit` active instances after `after`; outboxes come with the
/// last page.
///
/// # Errors
/// [`TableFault`] if the state cannot be read.
pub fn outstanding(
    tables: &mut dyn Tables,
    after: Option<&InstanceKey>,
    limit: usize,
    now: Timestamp,
) -> Result<Page, TableFault> {
    let now = now.max(tables.partition().clock);
    let keys = tables.active(after, limit)?;
    let mut page = Page::default();
    for key in &keys {
        if key.id.is_entity() {
            of_entity(tables, key, now, &mut page.effects)?;
        } else {
            of_instance(tables, key, now, &mut page.effects)?;
        }
    }
    if keys.len() == limit {
        page.next = keys.last().cloned();
    } else {
        let targets: Vec<_> = tables.partition().sent.keys().copied().collect();
        for target in targets {
            if !tables.outbox(target, 0, 1)?.is_empty() {
                page.effects.push(Effect::OutboxGrew { target });
            }
        }
    }
    Ok(page)
}

fn of_instance(
    tables: &mut dyn Tables,
    key: &InstanceKey,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) -> Result<(), TableFault> {
    let Some(instance) = tables.instance(key)? else {
        return Ok(());
    };
    effects.extend(dispatch::turn_effect(key, instance, now));
    if let Some(at) = instance
        .scheduled_start
        .filter(|at| *at > now && !instance.inbox.is_empty())
    {
        effects.push(Effect::StartArmed {
            key: key.clone(),
            at,
        });
    }
    effects.extend(
        instance
            .activities
            .iter()
            .map(|(seq, activity)| Effect::ActivityReady {
                key: key.clone(),
                seq: *seq,
                name: activity.name.clone(),
                version: activity.version.clone(),
            }),
    );
    effects.extend(
        instance
            .timers
            .iter()
            .map(|(seq, timer)| Effect::TimerArmed {
                key: key.clone(),
                execution: instance.execution.clone(),
                seq: *seq,
                fire_at: timer.fire_at,
            }),
    );
    Ok(())
}

fn of_entity(
    tables: &mut dyn Tables,
    key: &InstanceKey,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) -> Result<(), TableFault> {
    let Some(entity) = tables.entity(key)? else {
        return Ok(());
    };
    if entity.batch_ready() {
        effects.push(Effect::BatchReady { key: key.clone() });
    }
    effects.extend(
        entity
            .scheduled
            .iter()
            .map(|(seq, scheduled)| Effect::OperationArmed {
                key: key.clone(),
                seq: *seq,
                due: scheduled.due,
            }),
    );
    let expiry = entity.expires_at();
    let expiry = expiry.filter(|at| *at > now || entity.is_empty());
    effects.extend(expiry.map(|at| Effect::ExpiryArmed {
        key: key.clone(),
        at,
    }));
    Ok(())
}
