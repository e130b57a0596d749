//! JSONPath, of which the user writes all but the `$`.

use serde_json::Value;
use serde_json_path::JsonPath;

use crate::failure::Failure;

/// What `path` finds: the value itself where it can be only one, else a list.
pub(super) fn query(document: &Value, path: &str) -> Result<Value, Failure> {
    let whole = format!("${}", path.trim_start_matches('$'));
    let parsed = JsonPath::parse(&whole).map_err(|error| {
        Failure::config(format!("expected a JSONPath, got `{path}`: {error}"))
            .hint("for example: .layers[0].size")
    })?;
    let found: Vec<Value> = parsed.query(document).into_iter().cloned().collect();
    match <[Value; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(found) if found.is_empty() => Err(Failure::text(format!("`{path}` finds nothing"))),
        Err(found) => Ok(Value::from(found)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::query;

    /// Scenario: paths to one value, to several, to none, and one that is not a path.
    /// Guarantees: one is given as it is, several as a list, the others are errors.
    #[test]
    fn paths_find_values() {
        let document = json!({"a": [{"b": 1}, {"b": 2}]});
        assert_eq!(query(&document, ".a[0].b").unwrap(), json!(1));
        assert_eq!(query(&document, "$.a[*].b").unwrap(), json!([1, 2]));
        assert!(query(&document, ".c").is_err());
        assert!(query(&document, "[").is_err());
    }
}
