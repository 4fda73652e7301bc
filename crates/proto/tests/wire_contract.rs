//! The public `.proto` files say exactly what the recorded facts say, no less and no more.
//!
//! Both sides are written out as one line per fact, so that a difference reads as a diff.

use std::collections::BTreeSet;

use longhaul_proto::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use serde_json::Value;

type Facts = BTreeSet<String>;

#[test]
fn contract_equals_recorded_facts() {
    let expected = recorded_facts();
    let actual = compiled_facts();
    assert!(
        expected.len() > 600,
        "the recorded facts were read only in part: {}",
        expected.len()
    );
    let missing: Vec<_> = expected.difference(&actual).cloned().collect();
    let surplus: Vec<_> = actual.difference(&expected).cloned().collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing:\n  {}\nnot in the facts:\n  {}",
        missing.join("\n  "),
        surplus.join("\n  ")
    );
}

// --- the recorded facts ---

fn recorded_facts() -> Facts {
    let json: Value =
        serde_json::from_str(include_str!("facts/wire.json")).expect("facts are JSON");
    let mut facts = Facts::new();
    for (path, file) in entries(&json["files"]) {
        let package = text(&file["package"]);
        facts.insert(format!("file {path} is package `{package}`"));
        for (name, fields) in entries(&file["messages"]) {
            recorded_message(&mut facts, &qualified(package, name), fields);
        }
        for (name, values) in entries(&file["enums"]) {
            let name = qualified(package, name);
            facts.extend(
                entries(values).map(|(value, number)| format!("enum {name}: {value} = {number}")),
            );
        }
        for (name, rpcs) in entries(&file["services"]) {
            for (rpc, shape) in entries(rpcs) {
                facts.insert(rpc_line(
                    &format!("{}/{rpc}", qualified(package, name)),
                    (text(&shape["input"]), flag(&shape["client_streaming"])),
                    (text(&shape["output"]), flag(&shape["server_streaming"])),
                ));
            }
        }
    }
    facts
}

fn recorded_message(facts: &mut Facts, message: &str, fields: &Value) {
    facts.insert(format!("message {message}"));
    for (name, field) in entries(fields) {
        if name == "__reserved__" {
            facts.extend(items(field).map(|range| reserved_line(message, &range[0], &range[1])));
            continue;
        }
        let number = field["number"].as_i64().expect("field number");
        let oneof = field["oneof"].as_str();
        facts.insert(field_line(
            message,
            name,
            number,
            text(&field["type"]),
            oneof,
            flag(&field["deprecated"]),
        ));
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_object()
        .expect("object")
        .iter()
        .map(|(key, value)| (key.as_str(), value))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("array").iter()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("string")
}

fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}

// --- the compiled descriptors ---

fn compiled_facts() -> Facts {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors decode");
    let mut facts = Facts::new();
    for file in set
        .file
        .iter()
        .filter(|file| file.package() != "google.protobuf")
    {
        compiled_file(&mut facts, file);
    }
    facts
}

fn compiled_file(facts: &mut Facts, file: &FileDescriptorProto) {
    let package = file.package();
    facts.insert(format!("file {} is package `{package}`", file.name()));
    for message in &file.message_type {
        compiled_message(facts, &qualified(package, message.name()), message);
    }
    for enumeration in &file.enum_type {
        compiled_enum(facts, &qualified(package, enumeration.name()), enumeration);
    }
    for service in &file.service {
        compiled_service(facts, &qualified(package, service.name()), service);
    }
}

fn compiled_message(facts: &mut Facts, name: &str, message: &DescriptorProto) {
    facts.insert(format!("message {name}"));
    for field in &message.field {
        let oneof = field
            .oneof_index
            .map(|index| message.oneof_decl[index as usize].name());
        let deprecated = field
            .options
            .as_ref()
            .is_some_and(|options| options.deprecated());
        let kind = field_type(field, message);
        facts.insert(field_line(
            name,
            field.name(),
            field.number().into(),
            &kind,
            oneof,
            deprecated,
        ));
    }
    facts.extend(
        message
            .reserved_range
            .iter()
            .map(|range| reserved_line(name, range.start(), range.end())),
    );
    for nested in message
        .nested_type
        .iter()
        .filter(|nested| !is_map_entry(nested))
    {
        compiled_message(facts, &qualified(name, nested.name()), nested);
    }
    for nested in &message.enum_type {
        compiled_enum(facts, &qualified(name, nested.name()), nested);
    }
}

fn compiled_enum(facts: &mut Facts, name: &str, enumeration: &EnumDescriptorProto) {
    let values = enumeration.value.iter();
    facts.extend(values.map(|value| format!("enum {name}: {} = {}", value.name(), value.number())));
}

fn compiled_service(facts: &mut Facts, name: &str, service: &ServiceDescriptorProto) {
    for method in &service.method {
        facts.insert(rpc_line(
            &format!("{name}/{}", method.name()),
            (
                method.input_type().trim_start_matches('.'),
                method.client_streaming(),
            ),
            (
                method.output_type().trim_start_matches('.'),
                method.server_streaming(),
            ),
        ));
    }
}

/// The type as a `.proto` file spells it, `repeated` and `map` included.
fn field_type(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let scalar = scalar_type(field);
    if field.label() != Label::Repeated {
        // An explicit `optional` would change presence, and no fact knows of one.
        assert!(
            !field.proto3_optional(),
            "{}.{} is optional",
            message.name(),
            field.name()
        );
        return scalar;
    }
    let short_name = field.type_name().rsplit('.').next();
    let entry = message
        .nested_type
        .iter()
        .find(|nested| is_map_entry(nested) && Some(nested.name()) == short_name);
    match entry {
        Some(entry) => format!(
            "map<{}, {}>",
            scalar_type(&entry.field[0]),
            scalar_type(&entry.field[1])
        ),
        None => format!("repeated {scalar}"),
    }
}

fn scalar_type(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        other => other
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    }
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message
        .options
        .as_ref()
        .is_some_and(|options| options.map_entry())
}

// --- one line per fact ---

fn qualified(scope: &str, name: &str) -> String {
    if scope.is_empty() {
        name.to_owned()
    } else {
        format!("{scope}.{name}")
    }
}

fn field_line(
    message: &str,
    name: &str,
    number: i64,
    kind: &str,
    oneof: Option<&str>,
    deprecated: bool,
) -> String {
    let oneof = oneof
        .map(|oneof| format!(" in oneof {oneof}"))
        .unwrap_or_default();
    let deprecated = if deprecated { ", deprecated" } else { "" };
    format!("field {message}.{name} = {number}: {kind}{oneof}{deprecated}")
}

fn reserved_line(
    message: &str,
    start: impl std::fmt::Display,
    end: impl std::fmt::Display,
) -> String {
    format!("message {message} reserves {start}..{end}")
}

fn rpc_line(name: &str, input: (&str, bool), output: (&str, bool)) -> String {
    let side = |(kind, streaming): (&str, bool)| {
        format!("{}{kind}", if streaming { "stream " } else { "" })
    };
    format!("rpc {name}: {} -> {}", side(input), side(output))
}
