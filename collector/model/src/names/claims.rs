//! Finds metrics of one process that would share an exposed name, before one of them is lost.
//!
//! Names are compared as each exporter shows them, whether or not it is configured: adding an exporter takes no gadget
//! down.

use std::collections::HashMap;

use super::{family, reserved, samples};
use crate::InstrumentKind;

/// A metric as exporters will show it.
#[derive(Clone, Copy, Debug)]
pub struct Exposed<'a> {
    /// The instrument's name.
    pub name: &'a str,
    /// Its unit, in UCUM; may be empty.
    pub unit: &'a str,
    /// What it measures.
    pub kind: InstrumentKind,
    /// The scope it belongs to.
    pub scope: &'a str,
}

/// Why a metric cannot be exposed beside the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash<P> {
    /// What stands against it, to follow the metric's name.
    pub reason: String,
    /// The place of the metric that has the name; there is none if nobody may have it.
    pub other: Option<P>,
}

/// Names that are taken, and the places of the metrics that took them.
#[derive(Clone, Debug)]
pub struct Claims<P> {
    /// Names on a page.
    page: HashMap<String, Holder<P>>,
    /// Family and scope.
    families: HashMap<(String, String), P>,
    /// Scope and name, as a push has them.
    pushed: HashMap<(String, String), P>,
}

#[derive(Clone, Debug)]
struct Holder<P> {
    family: String,
    kind: InstrumentKind,
    place: P,
}

impl<P> Default for Claims<P> {
    fn default() -> Self {
        Self { page: HashMap::new(), families: HashMap::new(), pushed: HashMap::new() }
    }
}

impl<P: Clone> Claims<P> {
    /// Takes the names of a metric that stands at `place`.
    ///
    /// # Errors
    /// [`Clash`] if one of them is taken or may not be used; then none is taken.
    pub fn claim(&mut self, metric: Exposed<'_>, place: P) -> Result<(), Clash<P>> {
        let Exposed { name, unit, kind, scope } = metric;
        let full = family(name, unit, kind).full;
        let samples = samples(&full, kind);
        if let Some(reason) = reserved(&full).or_else(|| samples.iter().find_map(|sample| reserved(sample))) {
            return Err(Clash { reason: format!("cannot be exposed as `{full}`: {reason}"), other: None });
        }
        let pushed = (scope.to_owned(), name.to_owned());
        if let Some(other) = self.pushed.get(&pushed) {
            return Err(Clash {
                reason: "has the name of another metric".to_owned(),
                other: Some(other.clone()),
            });
        }
        for sample in &samples {
            if let Some(holder) = self.page.get(sample)
                && (holder.family != full || holder.kind != kind)
            {
                let part = format!("the {} `{}`", holder.kind.name(), holder.family);
                let reason = format!("is exposed to Prometheus as `{sample}`, which is part of {part}");
                return Err(Clash { reason, other: Some(holder.place.clone()) });
            }
        }
        let series = (full.clone(), scope.to_owned());
        if let Some(other) = self.families.get(&series) {
            let reason = format!("is exposed to Prometheus as `{full}`, which is the name of another metric");
            return Err(Clash { reason, other: Some(other.clone()) });
        }
        for sample in samples {
            self.page.entry(sample).or_insert_with(|| Holder {
                family: full.clone(),
                kind,
                place: place.clone(),
            });
        }
        self.families.insert(series, place.clone());
        self.pushed.insert(pushed, place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstrumentKind::{Counter, Gauge, Histogram};

    fn clash(
        first: (&str, &str, InstrumentKind),
        second: (&str, &str, InstrumentKind),
        scopes: [&str; 2],
    ) -> Option<String> {
        let mut claims = Claims::default();
        let exposed = |(name, unit, kind), scope| Exposed { name, unit, kind, scope };
        claims.claim(exposed(first, scopes[0]), 1).unwrap();
        let clash = claims.claim(exposed(second, scopes[1]), 2).err()?;
        assert_eq!(clash.other, Some(1));
        Some(clash.reason)
    }

    /// Guarantees: metrics of one gadget that an exporter would show under one name are found, with the name they share.
    #[test]
    fn names_are_compared_as_they_are_exposed() {
        let cases = [
            (
                ("lat", "", Histogram),
                ("lat_count", "", Gauge),
                "`lat_count`, which is part of the histogram `lat`",
            ),
            (("lat_bucket", "", Gauge), ("lat", "", Histogram), "`lat_bucket`"),
            (("lat", "", Histogram), ("lat_created", "", Gauge), "`lat_created`"),
            (("x", "", Counter), ("x_total", "", Counter), "`x_total`"),
            (("x", "", Counter), ("x", "", Gauge), "name of another"),
            (("x", "", Counter), ("x_created", "", Gauge), "`x_created`"),
            (("y", "By", Gauge), ("y_bytes", "", Gauge), "`y_bytes`"),
            (("z.z", "", Gauge), ("z_z", "", Gauge), "`z_z`"),
            (("w", "s", Gauge), ("w", "By", Gauge), "has the name of another metric"),
        ];
        for (first, second, expected) in cases {
            let reason = clash(first, second, ["g", "g"]).unwrap();
            assert!(reason.contains(expected), "{first:?} {second:?}: {reason}");
        }
        assert_eq!(clash(("x", "", Counter), ("y", "", Counter), ["g", "g"]), None);
        assert_eq!(
            clash(("x", "", Counter), ("x", "", Counter), ["g", "h"]),
            None,
            "one family of two scopes"
        );
        assert!(clash(("x", "", Counter), ("x", "", Gauge), ["g", "h"]).is_some(), "of two types");
    }

    /// Guarantees: no metric takes a name of the collector itself, by none of its samples; other processes may be counted.
    #[test]
    fn names_of_the_collector_are_reserved() {
        for (name, kind) in [
            ("ig_up", Gauge),
            ("ig", Histogram),
            ("process.cpu_seconds", Counter),
            ("process.open.fds", Gauge),
            ("target_info", Gauge),
            ("target", Counter),
            ("...", Counter),
        ] {
            let metric = Exposed { name, unit: "", kind, scope: "g" };
            let clash = Claims::default().claim(metric, ()).unwrap_err();
            assert_eq!(clash.other, None, "{name}: {}", clash.reason);
        }
        let metric = Exposed { name: "process_executions", unit: "", kind: Counter, scope: "g" };
        Claims::default().claim(metric, ()).unwrap();
    }
}
