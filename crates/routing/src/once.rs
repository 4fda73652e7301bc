//! Commands that may be proposed again when nobody knows whether they were applied: each takes effect once, by itself or
//! because it has a name.

use longhaul_engine::{Command, RequestId};
use longhaul_partition::Randomness;

/// The command so that it can be repeated.
pub(crate) fn repeatable(command: Command, randomness: &dyn Randomness) -> Command {
    if !doubles(&command) {
        return command;
    }
    let mut bytes = [0; 16];
    randomness.fill(&mut bytes);
    Command::Once {
        request: RequestId(u128::from_be_bytes(bytes)),
        command: Box::new(command),
    }
}

/// Whether a second time could have a further effect, or another answer.
fn doubles(command: &Command) -> bool {
    match command {
        // Most are recognised by what they leave behind, but not once that has gone on, ended or been replaced.
        Command::CreateInstance(_)
        | Command::RaiseEvent { .. }
        | Command::Suspend { .. }
        | Command::Resume { .. }
        | Command::Terminate { .. }
        | Command::ForceTerminate { .. }
        | Command::Restart { .. }
        | Command::Rewind { .. } => true,
        // The entity remembers the ids of requests.
        Command::SignalEntity { .. }
        // Fenced by counts of turns and batches, or by numbers.
        | Command::CompleteTurn(_)
        | Command::CompleteActivity { .. }
        | Command::CompleteBatch(_)
        | Command::Deliver { .. }
        | Command::AckOutbox { .. }
        // About what is not there any more the second time.
        | Command::Purge { .. }
        | Command::Remove { .. }
        | Command::ReleaseOperations(_)
        | Command::ExpireEntities(_)
        | Command::FireTimers(_)
        | Command::Once { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use longhaul_engine::InstanceKey;
    use longhaul_partition::SystemRandomness;
    use longhaul_types::{HubId, InstanceId, PartitionId};

    use super::*;

    fn raise() -> Command {
        Command::RaiseEvent {
            key: InstanceKey::new(HubId(1), InstanceId::trusted("a")),
            event: bytes::Bytes::from_static(b"event"),
        }
    }

    #[test]
    fn what_doubles_gets_a_name_of_its_own_and_only_one() {
        let randomness = SystemRandomness::default();
        let named = |command| match repeatable(command, &randomness) {
            Command::Once { request, command } => (request, *command),
            other => panic!("{other:?} has no name"),
        };
        let (first, second) = (named(raise()), named(raise()));
        assert_ne!(first.0, second.0);
        assert_eq!((&first.1, &second.1), (&raise(), &raise()));
        let once = Command::Once {
            request: first.0,
            command: Box::new(raise()),
        };
        assert_eq!(named(once), first);
    }

    #[test]
    fn what_is_numbered_stays_as_it_is() {
        let ack = Command::AckOutbox {
            target: PartitionId(1),
            through: 3,
        };
        assert_eq!(repeatable(ack.clone(), &SystemRandomness::default()), ack);
    }
}
