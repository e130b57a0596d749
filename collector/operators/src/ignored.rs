//! Parameters of the reference that are described and accepted although other parts of the collector have what they
//! stand for: images are pulled before there is a plan, rows are printed by who asked for them, and the host is always
//! observed whole.

use ig_datasource::{DataSource, ParamDesc};

use crate::operator::{Operator, Phase};

/// Annotations over those of the image; part of the metadata before anything is planned.
pub const ANNOTATE: &str = "operator.oci.annotate";

/// How an image is fetched and checked.
#[derive(Debug)]
pub(crate) struct Image;

/// Which containers are observed.
#[derive(Debug)]
pub(crate) struct Containers;

/// How rows are written.
#[derive(Debug)]
pub(crate) struct Rows;

impl Operator for Image {
    fn name(&self) -> &'static str {
        "oci"
    }

    fn phase(&self) -> Phase {
        Phase::Extend
    }

    fn params(&self, _sources: &[&DataSource]) -> Vec<ParamDesc> {
        let new = |key, description| ParamDesc::new("operator.oci.", key, description);
        vec![
            new("pull", "When the image is pulled")
                .of_type("string", "missing")
                .one_of(&["always", "missing", "never"]),
            new("validate-metadata", "Accepted for compatibility; metadata is always checked")
                .of_type("bool", "true"),
            new("annotate", "Annotations over those of the image: name:key=value or name.field:key=value")
                .of_type("[]string", ""),
        ]
    }

    fn ignored_params(&self) -> &'static [&'static str] {
        &["operator.oci.pull", "operator.oci.validate-metadata"]
    }
}

impl Operator for Containers {
    fn name(&self) -> &'static str {
        "LocalManager"
    }

    fn phase(&self) -> Phase {
        Phase::Extend
    }

    fn params(&self, _sources: &[&DataSource]) -> Vec<ParamDesc> {
        let description = "Show events of the host as well as those of containers";
        vec![ParamDesc::new("operator.LocalManager.", "host", description).of_type("bool", "false")]
    }

    fn ignored_params(&self) -> &'static [&'static str] {
        &["operator.LocalManager.host", "operator.KubeManager.all-namespaces"]
    }
}

impl Operator for Rows {
    fn name(&self) -> &'static str {
        "cli"
    }

    fn phase(&self) -> Phase {
        Phase::Outlet
    }

    fn params(&self, _sources: &[&DataSource]) -> Vec<ParamDesc> {
        let new = |key, description| ParamDesc::new("operator.cli.", key, description).of_type("string", "");
        vec![
            new("output", "How rows are written; name:mode,… for single data sources").with_alias("o"),
            new(
                "fields",
                "Fields that rows show; +field and -field add to and take from the usual ones; name:fields;… for single \
                 data sources",
            ),
        ]
    }

    fn ignored_params(&self) -> &'static [&'static str] {
        &["operator.cli.fields", "operator.cli.output"]
    }
}
