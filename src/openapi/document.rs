//! The parts of an OpenAPI 3.0.1 document, in TorchServe's order of fields. PURE.
//!
//! What is written here is what `inference.rs` and `management.rs` say; nothing is looked up. Clients of TorchServe
//! compare these documents byte by byte, so the order of every map is kept.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

/// A text of a document; only names of models are not known beforehand.
pub(super) type Text = Cow<'static, str>;

/// A whole description.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    openapi: &'static str,
    info: Info,
    pub(super) paths: Ordered<PathItem>,
}

/// What the description is about.
#[derive(Clone, Debug, Serialize)]
struct Info {
    title: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    version: &'static str,
}

/// The operations of one path, by method in lower case.
pub(super) type PathItem = Ordered<Operation>;

/// What one method of a path does.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operation {
    pub(super) description: Text,
    pub(super) operation_id: Text,
    pub(super) parameters: Vec<Parameter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_body: Option<RequestBody>,
    pub(super) responses: Ordered<Response>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) deprecated: bool,
}

/// A parameter of the path or of the query.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Parameter {
    r#in: &'static str,
    name: &'static str,
    description: &'static str,
    required: bool,
    schema: Schema,
}

/// What a request carries.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RequestBody {
    pub(super) description: &'static str,
    pub(super) content: Ordered<MediaType>,
    pub(super) required: bool,
}

/// One answer of an operation.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Response {
    description: &'static str,
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    content: Ordered<MediaType>,
}

/// The form of a body of one media type.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MediaType {
    schema: Schema,
}

/// The form of a value.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Schema {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    required: Vec<&'static str>,
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    properties: Ordered<Schema>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Box<Schema>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    r#enum: Vec<&'static str>,
}

/// A JSON object that keeps its order.
#[derive(Clone, Debug)]
pub(super) struct Ordered<V>(Vec<(Text, V)>);

// === impl Ordered ===

impl<V> Ordered<V> {
    pub(super) fn of<K: Into<Text>>(entries: impl IntoIterator<Item = (K, V)>) -> Ordered<V> {
        Ordered(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    pub(super) fn extend(&mut self, others: Ordered<V>) {
        self.0.extend(others.0);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<V> Default for Ordered<V> {
    fn default() -> Self {
        Ordered(Vec::new())
    }
}

impl<V: Serialize> Serialize for Ordered<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

// === impl Document ===

impl Document {
    /// A description with TorchServe's sentence about itself where `described` says so.
    pub(super) fn new(
        title: Text,
        description: Option<&'static str>,
        version: &'static str,
        paths: Ordered<PathItem>,
    ) -> Document {
        Document { openapi: "3.0.1", info: Info { title, description, version }, paths }
    }
}

// === impl Parameter ===

impl Parameter {
    /// A part of the path.
    pub(super) fn path(name: &'static str, description: &'static str) -> Parameter {
        Parameter { r#in: "path", name, description, required: true, schema: Schema::of("string") }
    }

    /// A query parameter that may be left out.
    pub(super) fn query(
        name: &'static str,
        schema: Schema,
        description: &'static str,
    ) -> Parameter {
        Parameter { r#in: "query", name, description, required: false, schema }
    }

    /// It may not be left out.
    pub(super) fn required(self) -> Parameter {
        Parameter { required: true, ..self }
    }
}

// === impl Response ===

impl Response {
    /// An answer without a described body.
    pub(super) fn bare(description: &'static str) -> Response {
        Response { description, content: Ordered::default() }
    }

    /// An answer with a body of this media type.
    pub(super) fn of(
        description: &'static str,
        media_type: &'static str,
        schema: Schema,
    ) -> Response {
        Response { description, content: content(media_type, schema) }
    }
}

/// A body of one media type.
pub(super) fn content(media_type: &'static str, schema: Schema) -> Ordered<MediaType> {
    Ordered::of([(media_type, MediaType { schema })])
}

// === impl Schema ===

impl Schema {
    /// A value of a JSON type.
    pub(super) fn of(r#type: &'static str) -> Schema {
        Schema { r#type, ..Schema::default() }
    }

    /// An object with these properties, the first `required` of which are always there.
    pub(super) fn object<const N: usize>(
        required: &[&'static str],
        properties: [(&'static str, Schema); N],
    ) -> Schema {
        let required = required.to_vec();
        Schema { required, properties: Ordered::of(properties), ..Schema::of("object") }
    }

    /// A list.
    pub(super) fn array(items: Schema) -> Schema {
        Schema { items: Some(Box::new(items)), ..Schema::of("array") }
    }

    /// Bytes.
    pub(super) fn binary() -> Schema {
        Schema { format: Some("binary"), ..Schema::of("string") }
    }

    /// With its default, which TorchServe writes as a text whatever the type.
    pub(super) fn or(self, default: &'static str) -> Schema {
        Schema { default: Some(default), ..self }
    }

    /// With a sentence about it.
    pub(super) fn about(self, description: &'static str) -> Schema {
        Schema { description: Some(description), ..self }
    }

    /// One of these words.
    pub(super) fn one_of(self, words: &[&'static str]) -> Schema {
        Schema { r#enum: words.to_vec(), ..self }
    }
}
