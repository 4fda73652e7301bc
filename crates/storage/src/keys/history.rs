//! Keys of sealed runs of history: instance key, execution id, number.

use longhaul_engine::key::InstanceKey;
use longhaul_types::ExecutionId;

use super::{Kind, instance, text};
use crate::records::Corrupt;

/// Names one sealed run. Orders by instance, execution, number, as the encoded keys do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunKey {
    /// The instance.
    pub instance: InstanceKey,
    /// The execution.
    pub execution: ExecutionId,
    /// Counts from 0 within the execution.
    pub number: u32,
}

impl RunKey {
    /// Run `number` of `execution`.
    #[must_use]
    pub fn new(instance: &InstanceKey, execution: &ExecutionId, number: u32) -> Self {
        Self {
            instance: instance.clone(),
            execution: execution.clone(),
            number,
        }
    }

    /// The key of the row.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let texts = self.instance.id.as_str().len() + self.execution.as_str().len();
        let mut out = Vec::with_capacity(1 + 4 + texts + 4 + 4);
        out.push(Kind::History as u8);
        instance::put(&self.instance, &mut out);
        text::put(self.execution.as_str(), &mut out);
        out.extend_from_slice(&self.number.to_be_bytes());
        out
    }

    /// What the key of a row names.
    ///
    /// # Errors
    /// [`Corrupt::MalformedKey`] if it is not the key of such a row.
    pub fn decode(key: &[u8]) -> Result<Self, Corrupt> {
        let malformed = || Corrupt::MalformedKey("history");
        let mut rest = key
            .strip_prefix(&Kind::History.prefix())
            .ok_or_else(malformed)?;
        let instance = instance::take(&mut rest)?;
        let execution = ExecutionId::new(text::take(&mut rest, "history")?);
        let number = rest.try_into().map_err(|_| malformed())?;
        Ok(Self {
            instance,
            execution,
            number: u32::from_be_bytes(number),
        })
    }
}

#[cfg(test)]
mod tests {
    use longhaul_types::{HubId, InstanceId};
    use proptest::prelude::*;

    use super::*;
    use crate::records::strategies::{any_execution, any_instance_key};

    fn any_run_key() -> impl Strategy<Value = RunKey> {
        (any_instance_key(), any_execution(), any::<u32>()).prop_map(
            |(instance, execution, number)| RunKey {
                instance,
                execution,
                number,
            },
        )
    }

    proptest! {
        #[test]
        fn keys_round_trip(key in any_run_key()) {
            prop_assert_eq!(RunKey::decode(&key.encode()).expect("well formed"), key);
        }

        #[test]
        fn encodings_order_as_keys_do(a in any_run_key(), b in any_run_key()) {
            prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
        }
    }

    #[test]
    fn the_layout_never_changes() {
        let instance = InstanceKey::new(HubId(1), InstanceId::trusted("a"));
        let key = RunKey::new(&instance, &ExecutionId::new("x"), 258);
        assert_eq!(key.encode(), b"h\0\0\0\x01a\0\x01x\0\x01\0\0\x01\x02");
    }

    #[test]
    fn other_bytes_are_refused() {
        for bad in [
            &b"h"[..],
            b"h\0\0\0\x01a\0\x01x\0\x01\0\0",
            b"h\0\0\0\x01a\0\x01x\0\x01\0\0\0\0\0",
        ] {
            assert!(RunKey::decode(bad).is_err(), "{bad:?}");
        }
    }
}
