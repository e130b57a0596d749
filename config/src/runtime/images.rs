//! Where gadget images come from and which are trusted.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::{NotCompared, Position, policy::ImagePolicy};

/// Where gadget images come from and which are trusted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Images {
    /// When to ask the registry.
    pub pull: Pull,
    /// How often a tag is looked up again while its gadget runs; `None` is at starts and reloads only.
    pub refresh_interval: Option<Duration>,
    /// The image store; `None` is the store of the user the collector runs as.
    pub store: Option<PathBuf>,
    /// Registry credentials, a docker `config.json`; `None` is the default place.
    pub authfile: Option<PathBuf>,
    /// Bounds on what is fetched and stored.
    pub limits: ImageLimits,
    /// Mirrors of registries, each tried in order before the registry itself.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Which images may run, who must have signed them, and where they may come from over plain HTTP. A policy file
    /// may forbid what is looser than itself.
    pub policy: ImagePolicy,
    /// Where it is written.
    pub at: NotCompared<Position>,
}

/// Bounds on what is fetched and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Most bytes of an index or manifest.
    pub manifest: u64,
    /// Most bytes of a layer.
    pub layer: u64,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self { manifest: 4 << 20, layer: 512 << 20 }
    }
}

/// When to ask the registry for an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// When the store has no image of that name.
    #[default]
    Missing,
    /// Each time a gadget is started, and at the refresh interval.
    Always,
    /// Never: images come from the local store.
    Never,
}
