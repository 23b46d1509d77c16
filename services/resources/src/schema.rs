//! Schemas as API servers like them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// Takes out of a definition what the derived schema says too much: that optional fields may be null (they are left
/// out instead), null among the values of an enum, and empty texts as defaults, which some API servers refuse.
pub(crate) fn tidy(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|one| one.open_api_v3_schema.as_mut())
        {
            tidy_schema(schema);
        }
    }
    definition
}

fn tidy_schema(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    if schema.default.as_ref().is_some_and(|default| default.0 == "") {
        schema.default = None;
    }
    for property in schema.properties.iter_mut().flat_map(|all| all.values_mut()) {
        tidy_schema(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(one)) => tidy_schema(one),
        Some(JSONSchemaPropsOrArray::Schemas(all)) => all.iter_mut().for_each(tidy_schema),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    /// Guarantees: no definition of ours says `null`, or an empty text as a default.
    #[test]
    fn definitions_are_tidy() {
        for definition in [crate::cases::crd(), crate::policies::crd()] {
            let text = serde_json::to_string(&definition).expect("a definition is JSON");
            for odd in ["null", "\"default\":\"\""] {
                assert!(!text.contains(odd), "{odd}: {text}");
            }
        }
    }
}
