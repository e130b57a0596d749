//! Why a gadget is not simply running, in parts until somebody reads it.
//!
//! Decisions look at [`Reason::kind`]; the text is put together once, at the edge: in the log, on `/readyz`, in a table.

use std::{error::Error, fmt, sync::Arc};

use crate::{Hint, Position, Shortage, chain};

/// What kind of reason it is; a closed set, so that it can be a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonKind {
    /// The image is not in the store, or not usable.
    Image,
    /// A rule forbids the image, or nobody trusted has signed it.
    Untrusted,
    /// The eBPF object is malformed.
    Object,
    /// A parameter, filter or metric does not fit the gadget.
    Config,
    /// The kernel has no such hook.
    MissingHook,
    /// The kernel's verifier said no.
    Verifier,
    /// A capability is missing.
    Permission,
    /// The kernel lacks a feature.
    Kernel,
    /// Another gadget already exports a metric of that name.
    MetricConflict,
    /// Something that may pass: memory, descriptors, a busy resource.
    Transient,
    /// It runs, and records of it are lost.
    Losing,
}

impl ReasonKind {
    /// The word used as a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Untrusted => "untrusted",
            Self::Object => "object",
            Self::Config => "config",
            Self::MissingHook => "missing_hook",
            Self::Verifier => "verifier",
            Self::Permission => "permission",
            Self::Kernel => "kernel",
            Self::MetricConflict => "metric_conflict",
            Self::Transient => "transient",
            Self::Losing => "losing",
        }
    }

    /// Whether the machine, not the file or the image, stands in the way.
    pub fn is_of_the_machine(self) -> bool {
        matches!(self, Self::MissingHook | Self::Kernel)
    }

    /// Whether trying again without a change of the configuration can help.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Image | Self::Transient)
    }
}

/// A reason: what went wrong, on what, where it was asked for, and what to do.
///
/// As an [`Error`] it says what the error says that it was made of, and has the same causes.
#[derive(Clone, Debug)]
pub struct Reason {
    /// Kind, for labels and decisions.
    pub kind: ReasonKind,
    /// The place in the configuration that asks for it.
    pub position: Option<Position>,
    /// The gadget, where the reader does not know it from elsewhere.
    pub gadget: Option<String>,
    /// The image, if it is to blame.
    pub image: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    error: Arc<dyn Error + Send + Sync>,
}

impl Reason {
    /// A reason from an error, or from a message where there is none.
    ///
    /// `kind` is that of the step that failed; want of descriptors or memory is [`ReasonKind::Transient`] at any step.
    pub fn new(kind: ReasonKind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error: Arc<dyn Error + Send + Sync> = Arc::from(error.into());
        let shortage = Shortage::of(error.as_ref());
        let kind = shortage.map_or(kind, |_| ReasonKind::Transient);
        let hint = shortage.map(|shortage| shortage.hint().to_owned());
        Self { kind, position: None, gadget: None, image: None, hint, error }
    }

    /// A reason from an error that may know a remedy.
    pub fn hinted(kind: ReasonKind, error: impl Hint + Send + Sync + 'static) -> Self {
        let hint = error.hint().map(std::borrow::Cow::into_owned);
        let reason = Self::new(kind, error);
        // What was short says more than the step.
        Self { hint: reason.hint.or(hint), ..reason }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }

    /// Adds the image that is to blame.
    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        self.image = Some(image.to_owned());
        self
    }

    /// Adds the place in the configuration that asks for it.
    #[must_use]
    pub fn at(mut self, position: &Position) -> Self {
        self.position = Some(position.clone());
        self
    }

    /// Adds the gadget and the place that asks for it, unless a narrower one is known.
    ///
    /// A document that was built in code has no place to show.
    #[must_use]
    pub fn located(mut self, position: &Position, gadget: &str) -> Self {
        if self.position.is_none() && !position.is_whole() {
            self.gadget = Some(gadget.to_owned());
            return self.at(position);
        }
        self
    }

    /// What it was made of, for whoever knows more about one kind of error, such as the verifier's whole log.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.error.as_ref()
    }

    /// Several reasons in one line.
    pub fn join(reasons: &[Self]) -> String {
        reasons.iter().map(Self::text).collect::<Vec<_>>().join("; ")
    }

    /// Everything in one line, for logs and pages: `run.yaml:3:5: gadget `x`: image `y`: what: cause (what to do)`.
    pub fn text(&self) -> String {
        let mut text = self.to_string();
        let own = self.error.to_string();
        // Also the causes that are new to what is said already.
        if let Some(causes) = chain(self.error.as_ref()).strip_prefix(&own) {
            text.push_str(causes);
        }
        if let Some(hint) = &self.hint {
            text.push_str(" (");
            text.push_str(hint);
            text.push(')');
        }
        text
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, gadget, image, error, .. } = self;
        if let Some(position) = position {
            write!(f, "{position}: ")?;
        }
        if let Some(gadget) = gadget {
            write!(f, "gadget `{gadget}`: ")?;
        }
        if let Some(image) = image {
            write!(f, "image `{image}`: ")?;
        }
        error.fmt(f)
    }
}

impl Error for Reason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to load `a`")]
    struct Load(#[source] io::Error);

    impl Hint for Load {
        fn hint(&self) -> Option<std::borrow::Cow<'_, str>> {
            Some("run as root".into())
        }
    }

    /// Scenario: an error with a cause and a remedy, first bare, then with its image and its place; a place is given twice.
    /// Guarantees: the line has each part once and in order, the narrower place stays, and the causes stay errors.
    #[test]
    fn a_reason_is_put_together_once() {
        let reason = Reason::hinted(ReasonKind::Permission, Load(io::Error::other("not permitted")));
        assert_eq!(reason.text(), "failed to load `a`: not permitted (run as root)");
        assert_eq!(reason.to_string(), "failed to load `a`");
        assert_eq!(reason.source().map(ToString::to_string).as_deref(), Some("not permitted"));

        let file = Arc::from("run.yaml");
        let located = reason
            .image("img")
            .located(&Position::whole("(built in)"), "x")
            .located(&Position::new(&file, 3, 5), "x")
            .located(&Position::new(&file, 1, 1), "y");
        let expected =
            "run.yaml:3:5: gadget `x`: image `img`: failed to load `a`: not permitted (run as root)";
        assert_eq!(located.text(), expected);
    }

    /// Scenario: the same error for want of descriptors, which the step that failed takes for a lack of permission.
    /// Guarantees: the reason may pass, and its remedy is that of the shortage.
    #[test]
    fn want_of_descriptors_may_pass_at_any_step() {
        let error = || Load(rustix::io::Errno::MFILE.into());
        for kind in [ReasonKind::Verifier, ReasonKind::Kernel, ReasonKind::Config] {
            assert_eq!(Reason::new(kind, error()).kind, ReasonKind::Transient);
        }
        let reason = Reason::hinted(ReasonKind::Permission, error());
        assert!(reason.kind.may_pass());
        let text = reason.text();
        assert!(text.starts_with("failed to load `a`: Too many open files"), "{text}");
        assert!(text.contains("LimitNOFILE"), "{text}");
    }

    /// Scenario: a reason in words alone.
    /// Guarantees: it is its own text, without causes.
    #[test]
    fn words_are_a_reason() {
        let reason = Reason::new(ReasonKind::Config, "metrics collide");
        assert_eq!(reason.text(), "metrics collide");
        assert!(reason.source().is_none());
    }
}
