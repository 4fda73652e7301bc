//! StartInstance requests, good and bad.

use super::*;
use longhaul_engine::Status;

const NOW: Timestamp = Timestamp {
    seconds: 1_000,
    nanos: 0,
};

fn request() -> CreateInstanceRequest {
    CreateInstanceRequest {
        instance_id: "order-1".into(),
        name: "Order".into(),
        ..Default::default()
    }
}

fn at(seconds: i64, nanos: i32) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos })
}

fn convert(request: CreateInstanceRequest) -> Result<NewInstance, Refusal> {
    let mut last = 0;
    create_instance(request, HubId(1), NOW, &Limits::of_payload(16), &mut || {
        last += 1;
        ExecutionId::from_random([last; 16])
    })
}

fn creation(request: CreateInstanceRequest) -> Creation {
    convert(request).expect("valid").create.creation
}

#[test]
fn missing_ids_are_made_up_and_given_ones_kept() {
    let new = convert(CreateInstanceRequest {
        instance_id: String::new(),
        ..request()
    })
    .expect("valid")
    .create;
    assert_eq!(new.key.id.as_str(), "01".repeat(16));
    assert_eq!(new.creation.execution.as_str(), "02".repeat(16));
    let new = convert(CreateInstanceRequest {
        execution_id: Some("Not-A-Guid".into()),
        ..request()
    })
    .expect("valid")
    .create;
    assert_eq!(new.key.id.as_str(), "order-1");
    assert_eq!(new.creation.execution.as_str(), "Not-A-Guid");
    let empty = creation(CreateInstanceRequest {
        execution_id: Some(String::new()),
        ..request()
    });
    assert_eq!(empty.execution.as_str(), "01".repeat(16));
}

#[test]
fn what_is_malformed_is_refused_with_a_sentence_that_names_it() {
    let long = || "x".repeat(1025);
    let cases = [
        (
            CreateInstanceRequest {
                instance_id: "x".repeat(101),
                ..request()
            },
            "length",
        ),
        (
            CreateInstanceRequest {
                instance_id: "@a@b".into(),
                ..request()
            },
            "entities",
        ),
        (
            CreateInstanceRequest {
                instance_id: "a\nb".into(),
                ..request()
            },
            "control",
        ),
        (
            CreateInstanceRequest {
                name: String::new(),
                ..request()
            },
            "name is required",
        ),
        (
            CreateInstanceRequest {
                name: long(),
                ..request()
            },
            "name has 1025 bytes, but a name has at most 1024",
        ),
        (
            CreateInstanceRequest {
                version: Some(long()),
                ..request()
            },
            "version has 1025",
        ),
        (
            CreateInstanceRequest {
                execution_id: Some(long()),
                ..request()
            },
            "executionId",
        ),
        (
            CreateInstanceRequest {
                input: Some("x".repeat(17)),
                ..request()
            },
            "input has 17 bytes",
        ),
        (
            CreateInstanceRequest {
                scheduled_start_timestamp: at(0, -1),
                ..request()
            },
            "scheduledStartTimestamp",
        ),
        (
            CreateInstanceRequest {
                scheduled_start_timestamp: at(i64::MAX, 0),
                ..request()
            },
            "scheduledStartTimestamp",
        ),
        (
            CreateInstanceRequest {
                tags: (0..65).map(|i| (i.to_string(), String::new())).collect(),
                ..request()
            },
            "tags has 65 entries",
        ),
        (
            CreateInstanceRequest {
                tags: [("k".repeat(1025), String::new())].into(),
                ..request()
            },
            "tags has a key of 1025 bytes",
        ),
        (
            CreateInstanceRequest {
                tags: [("k".to_owned(), "v".repeat(16_385))].into(),
                ..request()
            },
            "tags has a value of 16385 bytes",
        ),
        (
            CreateInstanceRequest {
                tags: (0..4)
                    .map(|i| (i.to_string(), "v".repeat(16_384)))
                    .collect(),
                ..request()
            },
            "tags has 65540 bytes in all",
        ),
        (
            CreateInstanceRequest {
                orchestration_id_reuse_policy: Some(OrchestrationIdReusePolicy {
                    replaceable_status: vec![1, 99],
                }),
                ..request()
            },
            "holds 99",
        ),
    ];
    for (request, expected) in cases {
        let error = convert(request).expect_err(expected).to_string();
        assert!(
            error.contains(expected),
            "{error:?} should say {expected:?}"
        );
    }
}

#[test]
fn a_start_that_is_not_in_the_future_is_no_scheduled_start() {
    let start = |scheduled_start_timestamp| {
        creation(CreateInstanceRequest {
            scheduled_start_timestamp,
            ..request()
        })
        .scheduled_start
    };
    assert_eq!(start(None), None);
    assert_eq!(start(at(0, 0)), None);
    assert_eq!(start(at(-5, 0)), None);
    assert_eq!(start(at(1_000, 0)), None);
    assert_eq!(
        start(at(1_000, 1)),
        Some(Timestamp {
            seconds: 1_000,
            nanos: 1
        })
    );
    assert!(start(at(253_402_300_799, 999_999_999)).is_some());
}

#[test]
fn the_reuse_policy_tells_absent_from_empty_and_ignores_what_nothing_has() {
    let policy = |replaceable_status: Option<Vec<i32>>| {
        let policy = replaceable_status
            .map(|replaceable_status| OrchestrationIdReusePolicy { replaceable_status });
        reuse_policy(policy)
    };
    assert_eq!(policy(None), Ok(ReusePolicy::Default));
    assert_eq!(policy(Some(vec![])), Ok(ReusePolicy::Replace(vec![])));
    assert_eq!(
        policy(Some(vec![1, 2, 3, 3])),
        Ok(ReusePolicy::Replace(vec![
            Status::Completed,
            Status::Failed
        ]))
    );
    assert!(policy(Some(vec![-1])).is_err());
}

#[test]
fn the_action_old_clients_send_in_the_policy_is_ignored() {
    // replaceableStatus: [COMPLETED], then the reserved field 2 with the value 1.
    let policy = OrchestrationIdReusePolicy::decode(&[0x0A, 1, 1, 0x10, 1][..]).expect("decodes");
    assert_eq!(
        reuse_policy(Some(policy)),
        Ok(ReusePolicy::Replace(vec![Status::Completed]))
    );
}

#[test]
fn only_the_same_request_has_the_same_fingerprint() {
    let timed = || CreateInstanceRequest {
        request_time: at(5, 6),
        ..request()
    };
    assert_eq!(fingerprint(&request()), 0);
    let executing = |id: &str| CreateInstanceRequest {
        execution_id: Some(id.to_owned()),
        ..request()
    };
    assert_eq!(fingerprint(&executing("")), 0);
    assert_ne!(fingerprint(&executing("a")), 0);
    assert_ne!(fingerprint(&executing("a")), fingerprint(&executing("b")));
    assert_eq!(fingerprint(&timed()), fingerprint(&timed()));
    let tag = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let others = [
        CreateInstanceRequest {
            request_time: at(5, 7),
            ..request()
        },
        CreateInstanceRequest {
            name: "Orde".into(),
            ..timed()
        },
        CreateInstanceRequest {
            version: Some(String::new()),
            ..timed()
        },
        CreateInstanceRequest {
            input: Some(String::new()),
            ..timed()
        },
        CreateInstanceRequest {
            scheduled_start_timestamp: at(0, 0),
            ..timed()
        },
        CreateInstanceRequest {
            parent_trace_context: Some(TraceContext::default()),
            ..timed()
        },
        CreateInstanceRequest {
            tags: tag("a", "bc"),
            ..timed()
        },
        CreateInstanceRequest {
            tags: tag("ab", "c"),
            ..timed()
        },
    ];
    let mut seen = vec![fingerprint(&timed())];
    for other in &others {
        let print = fingerprint(other);
        assert!(!seen.contains(&print), "{other:?}");
        seen.push(print);
    }
}

#[test]
fn a_repetition_is_recognised_by_its_time_or_execution_and_its_own_id() {
    let recognisable = |request| convert(request).expect("valid").recognisable;
    let timed = || CreateInstanceRequest {
        request_time: at(5, 6),
        ..request()
    };
    assert!(!recognisable(request()));
    assert!(recognisable(timed()));
    assert!(recognisable(CreateInstanceRequest {
        execution_id: Some("e".into()),
        ..request()
    }));
    assert!(!recognisable(CreateInstanceRequest {
        instance_id: String::new(),
        ..timed()
    }));
}

#[test]
fn everything_else_is_taken_over_as_it_came() {
    let trace = TraceContext {
        trace_parent: "garbage".into(),
        ..Default::default()
    };
    let got = creation(CreateInstanceRequest {
        version: Some(String::new()),
        input: Some("\"a\"".into()),
        tags: [("k".to_owned(), "v".to_owned())].into(),
        parent_trace_context: Some(trace.clone()),
        ..request()
    });
    assert_eq!(got.version.as_deref(), Some(""));
    assert_eq!(got.input.as_deref(), Some(&b"\"a\""[..]));
    assert_eq!(
        got.tags.expect("has tags").get("k").map(String::as_str),
        Some("v")
    );
    assert_eq!(
        got.parent_trace.as_deref(),
        Some(trace.encode_to_vec().as_slice())
    );
    assert_eq!(creation(request()).tags, None);
    assert_eq!(creation(request()).parent_trace, None);
}

#[test]
fn what_is_as_large_as_may_be_is_taken() {
    let limits = Limits {
        payload_bytes: 3,
        name_bytes: 4,
        version_bytes: 2,
        tags: 2,
        tag_key_bytes: 1,
        tag_value_bytes: 3,
        tags_bytes: 5,
        ..Limits::default()
    };
    let full = CreateInstanceRequest {
        name: "Four".into(),
        version: Some("v2".into()),
        input: Some("123".into()),
        tags: [("a", "123"), ("b", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..request()
    };
    let convert = |request| {
        let mut fresh = || ExecutionId::from_random([1; 16]);
        create_instance(request, HubId(1), NOW, &limits, &mut fresh)
    };
    convert(full.clone()).expect("fits");
    let more: [(fn(&mut CreateInstanceRequest), _); 7] = [
        (|it| it.name.push('x'), "a name has at most 4"),
        (
            |it| it.version = Some("v20".into()),
            "a version has at most 2",
        ),
        (|it| it.input = Some("1234".into()), "at most 3 are allowed"),
        (
            |it| drop(it.tags.insert("c".into(), String::new())),
            "3 entries",
        ),
        (
            |it| it.tags = [("ab".to_owned(), String::new())].into(),
            "a key of 2 bytes",
        ),
        (
            |it| it.tags = [("a".to_owned(), "1234".to_owned())].into(),
            "a value of 4 bytes",
        ),
        (
            |it| drop(it.tags.insert("b".into(), "1".into())),
            "6 bytes in all",
        ),
    ];
    for (change, part) in more {
        let mut request = full.clone();
        change(&mut request);
        let refusal = convert(request).expect_err(part).to_string();
        assert!(refusal.contains(part), "{refusal}");
    }
}
