//! The files that the collector is made from: documents, what they put in, policies, keys, certificates, credentials.
//!
//! They are followed from before they are first read. What changed stays on a list until a reload has put it in force:
//! a certificate that came while a document was wrong is not forgotten.

use std::path::{Path, PathBuf};

use ig_config::{
    policy::Material,
    runtime::{Exporters, Images, RuntimeConfig, documents},
};
use ig_files::{Changed, FileVersion, Followed, Follower, Subscription};
use ig_model::otlp::OtlpSettings;
use tracing::error;

/// What is followed, and what of it changed.
#[derive(Debug)]
pub(super) struct Files {
    /// `None` if following is impossible; reloads come by signal then.
    subscription: Option<Subscription>,
    /// What the way to images was made from.
    images: Vec<FileVersion>,
    changed: Changed,
}

impl Files {
    /// Follows the documents at `config` and the machine's policy.
    pub(super) fn follow(config: &Path) -> Self {
        let base = [documents(config), Followed::file(ig_image::trust::policy_path())];
        let follower = Follower::start().inspect_err(|error| {
            error!(
                name: "config.watch.failed",
                error = error as &dyn std::error::Error,
                "edits are not noticed; send SIGHUP to reload"
            );
        });
        let subscription = follower.ok().map(|follower| follower.subscribe(base));
        Self { subscription, ..Self::not_followed() }
    }

    /// Follows nothing: reloads come by command alone.
    pub(super) fn not_followed() -> Self {
        Self { subscription: None, images: Vec::new(), changed: Changed::default() }
    }

    /// Follows what was put in as well, what `config` names, and what the way to images was made from.
    pub(super) fn also(&self, referenced: Vec<FileVersion>, config: &RuntimeConfig) {
        let Some(subscription) = &self.subscription else { return };
        let exporters = config.exporters.otlp.values().flat_map(of_exporter);
        let named = exporters.chain(of_images(&config.images)).map(Followed::file);
        let read = referenced.into_iter().chain(self.images.iter().cloned()).map(Followed::from);
        subscription.also(named.chain(read));
    }

    /// Waits until something changed, and keeps it on the list.
    ///
    /// # Cancel safety
    /// What changed is kept by the next call at the latest.
    pub(super) async fn change(&mut self) -> Option<()> {
        match &mut self.subscription {
            Some(subscription) => {
                self.changed.merge(subscription.changed().await?);
                Some(())
            }
            None => std::future::pending().await,
        }
    }

    /// What changed and is not in force yet.
    pub(super) fn changed(&self) -> &Changed {
        &self.changed
    }

    /// Whether the way to images has to be made anew under `images`.
    pub(super) fn concern_images(&self, images: &Images) -> bool {
        let made_from = self.images.iter().map(|file| file.path.as_path());
        self.changed.contains(&ig_image::trust::policy_path())
            || made_from.chain(of_images(images)).any(|path| self.changed.contains(path))
    }

    /// Whether one of the exporters has to be made anew.
    pub(super) fn concern_exporters(&self, exporters: &Exporters) -> bool {
        exporters.otlp.values().any(|exporter| concern_exporter(&self.changed, exporter))
    }

    /// What the way to images is made from now.
    pub(super) fn set_images(&mut self, files: Vec<FileVersion>) {
        self.images = files;
    }

    /// All that changed is in force.
    pub(super) fn applied(&mut self) {
        self.changed = Changed::default();
    }
}

/// Whether one of an exporter's files is among those that changed.
pub(super) fn concern_exporter(changed: &Changed, exporter: &OtlpSettings) -> bool {
    of_exporter(exporter).any(|path| changed.contains(path))
}

fn of_exporter(exporter: &OtlpSettings) -> impl Iterator<Item = &Path> {
    let tls = &exporter.tls;
    [&tls.ca_file, &tls.cert_file, &tls.key_file].into_iter().flatten().map(PathBuf::as_path)
}

fn of_images(images: &Images) -> impl Iterator<Item = &Path> {
    let policy = &images.policy;
    let lists = [&policy.public_keys, &policy.notation_certificates].into_iter().flatten();
    let materials = lists.flat_map(|list| &list.value).chain(&policy.notation_trust_policy);
    let files = materials.filter_map(|material| match &material.value {
        Material::File(path) => Some(path),
        Material::Text(_) => None,
    });
    files.chain(&images.authfile).map(PathBuf::as_path)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use ig_config::runtime::load;

    use super::Files;

    /// Scenario: a configuration names a secret, a key and a certificate in files of their own; the certificate, then
    /// the key is replaced, and the certificate stays on the list because the first reload failed.
    /// Guarantees: each change is noticed by the name of its file and concerns what is made from it, and nothing else.
    #[tokio::test]
    async fn a_change_concerns_what_is_made_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
        for name in ["secret", "key.pub", "ca.pem"] {
            fs::write(path(name), "1").unwrap();
        }
        let text = "apiVersion: 1\nkind: runtime-config\nimages: {verify: {public-keys: [key.pub]}}\n\
                    exporters: {otlp: {main: {endpoint: https://h, headers: {a: '${file:secret}'}, \
                    tls: {ca-file: PATH/ca.pem}}}}\n";
        fs::write(path("config.yaml"), text.replace("PATH", path("").to_str().unwrap())).unwrap();
        let mut files = Files::follow(&path("config.yaml"));
        let loaded = load(&path("config.yaml")).unwrap();
        let (images, exporters) = (loaded.config.images.clone(), loaded.config.exporters.clone());
        files.also(loaded.referenced, &loaded.config);
        let replace = |name: &str, text: &str| {
            fs::write(path("tmp"), text).unwrap();
            fs::rename(path("tmp"), path(name)).unwrap();
        };
        let patience = Duration::from_secs(30);
        replace("ca.pem", "2");
        tokio::time::timeout(patience, files.change()).await.unwrap().unwrap();
        assert_eq!(files.changed().to_string(), path("ca.pem").display().to_string());
        assert!(files.concern_exporters(&exporters) && !files.concern_images(&images));
        replace("key.pub", "2");
        tokio::time::timeout(patience, files.change()).await.unwrap().unwrap();
        assert!(files.concern_exporters(&exporters) && files.concern_images(&images));
        files.applied();
        replace("secret", "2");
        tokio::time::timeout(patience, files.change()).await.unwrap().unwrap();
        assert!(files.changed().contains(&path("secret")));
        assert!(!files.concern_exporters(&exporters) && !files.concern_images(&images));
    }
}
