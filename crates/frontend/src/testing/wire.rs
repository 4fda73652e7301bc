//! The contract as data: which message a call takes, and how any of its fields is written, rightly or wrongly.

use std::collections::HashMap;
use std::sync::LazyLock;

use longhaul_proto::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::rpc::Rpc;

/// A field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) kind: Kind,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Message(String),
}

/// Fields of messages, and messages of calls.
struct Contract {
    messages: HashMap<String, Vec<Field>>,
    calls: HashMap<String, String>,
}

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("ours");
    let mut contract = Contract {
        messages: HashMap::new(),
        calls: HashMap::new(),
    };
    for file in &files.file {
        let package = match file.package() {
            "" => String::new(),
            package => format!(".{package}"),
        };
        for message in &file.message_type {
            contract.add(&package, message);
        }
        let services = file.service.iter();
        for service in services.filter(|it| it.name() == "TaskHubSidecarService") {
            for method in &service.method {
                let input = method.input_type().to_owned();
                contract.calls.insert(method.name().to_owned(), input);
            }
        }
    }
    contract
});

impl Contract {
    fn add(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for nested in &message.nested_type {
            self.add(&name, nested);
        }
        let fields = message.field.iter().map(field).collect();
        self.messages.insert(name, fields);
    }
}

fn field(field: &FieldDescriptorProto) -> Field {
    Field {
        name: field.name().to_owned(),
        number: u32::try_from(field.number()).expect("positive"),
        kind: match field.r#type() {
            Type::String => Kind::Text,
            Type::Message => Kind::Message(field.type_name().to_owned()),
            _ => Kind::Number,
        },
    }
}

/// The fields of a message, by its full name.
pub(crate) fn fields(message: &str) -> &'static [Field] {
    &CONTRACT.messages[message]
}

/// The fields of what a call takes.
pub(crate) fn fields_of(rpc: Rpc) -> &'static [Field] {
    fields(&CONTRACT.calls[rpc.name()])
}

/// The field at `path`, and those on the way to it, outermost first.
pub(crate) fn at(rpc: Rpc, path: &str) -> Option<Vec<&'static Field>> {
    let mut scope = fields_of(rpc);
    let mut found = Vec::new();
    for name in path.split('.') {
        let field = scope.iter().find(|field| field.name == name)?;
        found.push(field);
        scope = match &field.kind {
            Kind::Message(message) => fields(message),
            Kind::Text | Kind::Number => &[],
        };
    }
    Some(found)
}

/// Every text at most `depth` messages deep, with the fields on the way to it.
pub(crate) fn texts(rpc: Rpc, depth: usize) -> Vec<Vec<&'static Field>> {
    let mut found = Vec::new();
    collect_texts(fields_of(rpc), &mut Vec::new(), depth, &mut found);
    found
}

fn collect_texts(
    scope: &'static [Field],
    way: &mut Vec<&'static Field>,
    depth: usize,
    found: &mut Vec<Vec<&'static Field>>,
) {
    for field in scope {
        way.push(field);
        match &field.kind {
            Kind::Text => found.push(way.clone()),
            Kind::Message(message) if depth > 0 => {
                collect_texts(fields(message), way, depth - 1, found);
            }
            Kind::Message(_) | Kind::Number => {}
        }
        way.pop();
    }
}

/// A value to put into a field.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    /// The bytes of a text, whatever they are.
    Bytes(Vec<u8>),
    Number(i64),
    /// An encoded message.
    Message(Vec<u8>),
}

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// `value` in the field at the end of `way`, encoded from the outermost message on. Appended to a message, it replaces
/// what is there, or is added to it if the field is repeated.
pub(crate) fn put(way: &[&Field], value: &Value) -> Vec<u8> {
    let Some((field, way)) = way.split_last() else {
        return Vec::new();
    };
    let mut out = Vec::new();
    match value {
        Value::Number(number) if field.kind == Kind::Number => {
            put_varint(&mut out, u64::from(field.number << 3));
            put_varint(&mut out, *number as u64);
        }
        // Wrapped, as in `Int32Value`.
        Value::Number(number) => {
            let mut content = vec![1 << 3];
            put_varint(&mut content, *number as u64);
            put_bytes(&mut out, field.number, &content);
        }
        Value::Text(text) => put_text(&mut out, field, text.as_bytes()),
        Value::Bytes(bytes) => put_text(&mut out, field, bytes),
        Value::Message(message) => put_bytes(&mut out, field.number, message),
    }
    way.iter().rev().fold(out, |inner, field| {
        let mut outer = Vec::new();
        put_bytes(&mut outer, field.number, &inner);
        outer
    })
}

/// Wrapped where the field is a `StringValue`.
fn put_text(out: &mut Vec<u8>, field: &Field, text: &[u8]) {
    match field.kind {
        Kind::Message(_) => {
            let mut content = Vec::new();
            put_bytes(&mut content, 1, text);
            put_bytes(out, field.number, &content);
        }
        Kind::Text | Kind::Number => put_bytes(out, field.number, text),
    }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    put_varint(out, u64::from(number << 3 | 2));
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
