//! What the reader of a scrape asked for: format by `Accept`, compression by `Accept-Encoding`.

/// An exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// How names are written that hold other characters than letters, digits, `_` and `:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// With `_` in place of them.
    Underscores,
    /// As they are, in quotes; only where the reader asks for it.
    Utf8,
}

/// What a page is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposition {
    /// The format.
    pub format: Format,
    /// The names in it. Text 0.0.4 has underscores.
    pub escaping: Escaping,
}

impl Exposition {
    /// OpenMetrics with names as gadgets write them.
    const UTF8: Self = Self { format: Format::OpenMetrics, escaping: Escaping::Utf8 };

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match (self.format, self.escaping) {
            (Format::Text, _) => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            (Format::OpenMetrics, Escaping::Underscores) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
            (Format::OpenMetrics, Escaping::Utf8) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
            }
        }
    }
}

impl From<Format> for Exposition {
    /// The format with underscores.
    fn from(format: Format) -> Self {
        Self { format, escaping: Escaping::Underscores }
    }
}

/// A content encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// gzip, at the fastest level.
    Gzip,
}

/// Chooses the format the reader likes best; text where it does not say or asks for something else.
pub fn negotiate_format(accept: Option<&str>) -> Exposition {
    let mut best = (Exposition::from(Format::Text), 0.0);
    for offer in accept.unwrap_or_default().split(',') {
        let Some(offer) = Offer::parse(offer) else { continue };
        let format = match offer.name.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => {
                if offer.version.is_some_and(|version| version != "1.0.0" && version != "0.0.1") {
                    continue;
                }
                // Names in quotes came with the first version that a standard names.
                let takes_utf8 = offer.version != Some("0.0.1") && offer.escaping == Some("allow-utf-8");
                if takes_utf8 { Exposition::UTF8 } else { Format::OpenMetrics.into() }
            }
            "text/plain" if offer.version.is_none_or(|version| version == "0.0.4") => Format::Text.into(),
            "text/*" | "*/*" => Format::Text.into(),
            _ => continue,
        };
        if offer.quality > best.1 {
            best = (format, offer.quality);
        }
    }
    best.0
}

/// Chooses the content encoding: gzip where the reader takes it.
pub fn negotiate_encoding(accept_encoding: Option<&str>) -> Encoding {
    let mut any = None;
    for offer in accept_encoding.unwrap_or_default().split(',') {
        let Some(offer) = Offer::parse(offer) else { continue };
        match offer.name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => {
                return if offer.quality > 0.0 { Encoding::Gzip } else { Encoding::Identity };
            }
            "*" => any = Some(offer.quality),
            _ => {}
        }
    }
    if any.is_some_and(|quality| quality > 0.0) { Encoding::Gzip } else { Encoding::Identity }
}

/// One element of an `Accept` list.
struct Offer<'a> {
    name: &'a str,
    version: Option<&'a str>,
    escaping: Option<&'a str>,
    quality: f32,
}

impl<'a> Offer<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let mut offer = Self { name, version: None, escaping: None, quality: 1.0 };
        for part in parts {
            let Some((key, value)) = part.split_once('=') else { continue };
            match key.trim() {
                "q" => offer.quality = value.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q))?,
                "version" => offer.version = Some(value.trim().trim_matches('"')),
                "escaping" => offer.escaping = Some(value.trim().trim_matches('"')),
                _ => {}
            }
        }
        Some(offer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_format_wins() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                            q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                            encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;\
                            escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (None, Format::Text),
            (Some(""), Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/html, */*;q=0.8"), Format::Text),
            (Some(prometheus_2), Format::OpenMetrics),
            (Some("application/openmetrics-text;escaping=underscores"), Format::OpenMetrics),
            (Some("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.8"), Format::Text),
            (Some("application/openmetrics-text;q=0"), Format::Text),
            (Some("application/openmetrics-text;version=2.0.0"), Format::Text),
            (Some("application/openmetrics-text;q=nonsense"), Format::Text),
            (Some(";;q=,,"), Format::Text),
        ] {
            assert_eq!(negotiate_format(accept), expected.into(), "{accept:?}");
        }
        for asked in [prometheus_3, "application/openmetrics-text;escaping=\"allow-utf-8\""] {
            assert_eq!(negotiate_format(Some(asked)), Exposition::UTF8);
        }
        let old = "application/openmetrics-text;version=0.0.1;escaping=allow-utf-8";
        assert_eq!(negotiate_format(Some(old)), Format::OpenMetrics.into());
    }

    /// Guarantees: an answer says how its names are escaped, as a reader that asked for it expects.
    #[test]
    fn the_answer_says_how_names_are_escaped() {
        for (accept, expected) in [
            ("", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"),
            ("application/openmetrics-text", "charset=utf-8; escaping=underscores"),
            ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8", "; escaping=allow-utf-8"),
            ("text/plain;version=0.0.4;escaping=allow-utf-8", "; escaping=underscores"),
        ] {
            let answer = negotiate_format(Some(accept)).content_type();
            assert!(answer.ends_with(expected), "{accept}: {answer}");
        }
    }

    #[test]
    fn gzip_is_used_where_it_is_taken() {
        for (accept, expected) in [
            (None, Encoding::Identity),
            (Some("gzip"), Encoding::Gzip),
            (Some("deflate, gzip;q=0.5"), Encoding::Gzip),
            (Some("gzip;q=0, *"), Encoding::Identity),
            (Some("*"), Encoding::Gzip),
            (Some("zstd, br"), Encoding::Identity),
        ] {
            assert_eq!(negotiate_encoding(accept), expected, "{accept:?}");
        }
    }
}
