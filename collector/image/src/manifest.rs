//! The JSON documents of an image: index, manifest, descriptor.
//!
//! Their digests are their names, so they are written byte for byte as the Go project writes them: compact, keys in
//! the order of the fields below, annotations sorted, empty members left out.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::ser::{CompactFormatter, Formatter};

use crate::{Arch, Digest};

#[cfg(test)]
mod tests;

/// Media type of an image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Artifact type of a gadget's manifest.
pub const GADGET: &str = "application/vnd.gadget.v1+binary";
/// Media type of the `gadget.yaml` blob.
pub const METADATA: &str = "application/vnd.gadget.config.v1+yaml";
/// Media type of the placeholder config of an image without metadata.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Media type of the layer that holds the eBPF object.
pub const EBPF: &str = "application/vnd.gadget.ebpf.program.v1+binary";
/// Media type of the layer that holds the WASM module.
pub const WASM: &str = "application/vnd.gadget.wasm.program.v1+binary";
/// Media type of the layer that holds BTF files for kernels without their own.
pub const BTFGEN: &str = "application/vnd.gadget.btfgen.v1+binary";

/// The annotation of a store's index entry that holds the image's full name.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation with the time of the build, RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";
/// The annotation with the version of the program that built the image.
pub const BUILDER_VERSION: &str = "io.inspektor-gadget.builder.version";

/// Annotations of an image, sorted by key.
pub type Annotations = BTreeMap<String, String>;

/// Points at a blob: what it is, its digest and its size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    #[serde(default)]
    pub media_type: String,
    /// Digest as written; [`Digest`] checks it where it is used.
    pub digest: String,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Other places to download the blob from; never used.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free-form properties.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
    /// The blob itself, base64, for very small ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The machine the blob is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What kind of artefact the blob describes.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
}

/// The machine a manifest is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Processor architecture in Go's words.
    #[serde(default)]
    pub architecture: String,
    /// Operating system, always `linux` for gadgets.
    #[serde(default)]
    pub os: String,
    /// Version of the operating system; gadgets have none.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Variant of the processor; gadgets have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// One architecture of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Absent in gadget images.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// [`GADGET`]; absent in images from before mid-2024.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// The `gadget.yaml`, or the empty placeholder.
    pub config: Descriptor,
    /// eBPF, WASM and BTF blobs in the order in which they take effect.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    /// What this manifest signs or describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// Free-form properties.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
}

/// An image: one manifest for each architecture. A store's `index.json` has the same form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`INDEX`].
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Unused by gadgets.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// The entries.
    #[serde(default, deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// What this index signs or describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// Free-form properties.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
}

impl Descriptor {
    /// Describes `content` as a blob of `media_type`.
    pub fn of(media_type: &str, content: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(content).to_string(),
            size: content.len() as u64,
            ..Self::default()
        }
    }

    /// The placeholder config of an image without metadata; it carries its two bytes with it.
    pub fn empty() -> Self {
        Self { data: Some("e30=".to_owned()), ..Self::of(EMPTY, b"{}") }
    }

    /// The full image name, for an entry of a store's index that has one.
    pub(crate) fn ref_name(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }
}

impl Platform {
    /// Linux on `arch`.
    pub fn linux(arch: Arch) -> Self {
        Self { architecture: arch.name().to_owned(), os: "linux".to_owned(), ..Self::default() }
    }
}

impl Manifest {
    /// The manifest of a gadget.
    pub fn gadget(config: Descriptor, layers: Vec<Descriptor>, annotations: Annotations) -> Self {
        Self {
            schema_version: 2,
            media_type: String::new(),
            artifact_type: GADGET.to_owned(),
            config,
            layers,
            subject: None,
            annotations,
        }
    }
}

impl Index {
    /// An index of `manifests`.
    pub fn of(manifests: Vec<Descriptor>, annotations: Annotations) -> Self {
        Self {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            artifact_type: String::new(),
            manifests,
            subject: None,
            annotations,
        }
    }
}

/// Writes a document exactly as Go's `encoding/json` does.
///
/// # Errors
/// None for the types of this module; the signature is serde's.
pub fn to_json(document: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(1024);
    document.serialize(&mut serde_json::Serializer::with_formatter(&mut out, GoFormatter))?;
    Ok(out)
}

/// Compact JSON with the five characters escaped that Go escapes for the sake of HTML.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, tail) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, plain)?;
            let mut tail_chars = tail.chars();
            if let Some(c) = tail_chars.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = tail_chars.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

/// Go writes absent lists and maps as `null` in places; both mean empty.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
