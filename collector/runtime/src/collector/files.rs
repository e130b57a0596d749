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

use crate::tasks::Tasks;

/// What is followed, and what of it changed.
#[derive(Debug)]
pub(super) struct Files {
    /// `None` if following is impossible; reloads come by signal then.
    subscription: Option<Subscription>,
    /// What was put into the documents, and what they name.
    named: Vec<Followed>,
    /// What the way to images was made from, and what kept it from being made.
    images: Vec<FileVersion>,
    changed: Changed,
}

impl Files {
    /// Follows the documents at `config` and the machine's policy.
    pub(super) fn follow(config: &Path, tasks: &Tasks) -> Self {
        let base = [documents(config), Followed::file(ig_image::trust::policy_path())];
        let on_panic = tasks.clone();
        let follower =
            Follower::start_noting(move |panic| on_panic.panicked("files", panic)).inspect_err(|error| {
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
        Self { subscription: None, named: Vec::new(), images: Vec::new(), changed: Changed::default() }
    }

    /// Follows what was put in as well, what `config` names, and what the way to images was made from.
    pub(super) async fn also(&mut self, referenced: Vec<FileVersion>, config: &RuntimeConfig) {
        let exporters = config.exporters.otlp.values().flat_map(of_exporter);
        let named = exporters.chain(of_images(&config.images)).map(Followed::file);
        self.named = named.chain(referenced.into_iter().map(|file| self.followed(file))).collect();
        self.subscribe().await;
    }

    async fn subscribe(&self) {
        let Some(subscription) = &self.subscription else { return };
        let images = self.images.iter().map(|file| self.followed(file.clone()));
        subscription.also(self.named.iter().cloned().chain(images)).await;
    }

    /// What is on the list was told already: its old version would be told again and again.
    fn followed(&self, file: FileVersion) -> Followed {
        if self.changed.contains(&file.path) { Followed::file(file.path) } else { Followed::from(file) }
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
    pub(super) async fn set_images(&mut self, files: Vec<FileVersion>) {
        self.images = files;
        self.subscribe().await;
    }

    /// What keeps the way to images from being made: it may come, or be put right.
    pub(super) async fn unread_image(&mut self, file: FileVersion) {
        self.images.push(file);
        self.subscribe().await;
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
    use ig_files::FileVersion;

    use super::Files;
    use crate::tasks::Tasks;

    /// Scenario: the way to images was made from a key that is replaced; the reload that follows is refused, and looks at
    /// all files again. A file that kept another way from being made is absent, then it comes.
    /// Guarantees: the change is told once, not after each refusal; the file that comes is told.
    #[tokio::test]
    async fn what_was_told_is_not_told_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
        fs::write(path("config.yaml"), "apiVersion: 1\nkind: runtime-config\n").unwrap();
        fs::write(path("key.pub"), "1").unwrap();
        let replace = |name: &str| {
            fs::write(path("tmp"), "2").unwrap();
            fs::rename(path("tmp"), path(name)).unwrap();
        };
        let mut files = Files::follow(&path("config.yaml"), &Tasks::new());
        let config = load(&path("config.yaml")).unwrap().config;
        files.set_images(vec![FileVersion::of(path("key.pub"), b"1")]).await;
        files.also(Vec::new(), &config).await;
        let patience = Duration::from_secs(30);
        replace("key.pub");
        tokio::time::timeout(patience, files.change()).await.unwrap().unwrap();
        files.also(Vec::new(), &config).await;
        files.unread_image(FileVersion::unread(path("new.pub"), std::io::ErrorKind::NotFound)).await;
        // Were the key told again, it would be so before what comes after it.
        replace("new.pub");
        let subscription = files.subscription.as_mut().unwrap();
        let told = tokio::time::timeout(patience, subscription.changed()).await.unwrap().unwrap();
        assert_eq!(told.to_string(), path("new.pub").display().to_string());
    }

    /// Scenario: a configuration names a secret, a key, credentials and a certificate in files of their own; the
    /// certificate, the key, then the credentials are replaced, and the certificate stays on the list because the first reload failed.
    /// Guarantees: each change is noticed by the name of its file and concerns what is made from it, and nothing else.
    #[tokio::test]
    async fn a_change_concerns_what_is_made_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
        for name in ["secret", "key.pub", "auth.json", "ca.pem"] {
            fs::write(path(name), "1").unwrap();
        }
        let text = "apiVersion: 1\nkind: runtime-config\nimages: {authfile: PATH/auth.json, verify: {public-keys: [key.pub]}}\n\
                    exporters: {otlp: {main: {endpoint: https://h, headers: {a: '${file:secret}'}, \
                    tls: {ca-file: PATH/ca.pem}}}}\n";
        fs::write(path("config.yaml"), text.replace("PATH", path("").to_str().unwrap())).unwrap();
        let mut files = Files::follow(&path("config.yaml"), &Tasks::new());
        let loaded = load(&path("config.yaml")).unwrap();
        let (images, exporters) = (loaded.config.images.clone(), loaded.config.exporters.clone());
        files.also(loaded.referenced, &loaded.config).await;
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
        replace("auth.json", "2");
        tokio::time::timeout(patience, files.change()).await.unwrap().unwrap();
        assert!(!files.concern_exporters(&exporters) && files.concern_images(&images));
        files.applied();
        replace("secret", "2");
        tokio::time::timeout(patience, files.change()).await.unwrap().unwrap();
        assert!(files.changed().contains(&path("secret")));
        assert!(!files.concern_exporters(&exporters) && !files.concern_images(&images));
    }
}
