//! Whose request it is.

use http::{HeaderMap, StatusCode};
use model::TenantId;
use model::tenant::TenantError;

use super::error::HttpError;

/// The header that names the tenant, or several joined with `|`.
pub const TENANT_HEADER: &str = "x-scope-orgid";

/// Who may be asked for by a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The route belongs to no tenant.
    Open,
    /// One tenant.
    Tenant,
    /// One tenant, or several where that is enabled.
    Tenants,
}

/// How tenants are recognised.
#[derive(Debug, Clone)]
pub struct Authentication {
    /// Whose requests all are, when tenants are not told apart.
    pub everybody: Option<TenantId>,
    /// Whether queries may ask for several tenants at once.
    pub allows_several: bool,
}

impl Authentication {
    /// The tenants of a request: at least one unless the route is open; sorted and distinct.
    ///
    /// # Errors
    ///
    /// 401 when no tenant is named, 400 when a name or their number is not allowed.
    pub fn tenants(&self, access: Access, headers: &HeaderMap) -> Result<Vec<TenantId>, HttpError> {
        if access == Access::Open {
            return Ok(Vec::new());
        }
        if let Some(tenant) = &self.everybody {
            return Ok(vec![tenant.clone()]);
        }
        let value = headers.get(TENANT_HEADER).map_or(&b""[..], |value| value.as_bytes());
        let names = String::from_utf8_lossy(value);
        let names = names.split('|').filter(|name| !name.is_empty());
        let mut tenants = names.map(parse).collect::<Result<Vec<_>, _>>()?;
        if tenants.is_empty() {
            return Err(HttpError::line(
                StatusCode::UNAUTHORIZED,
                TenantError::Missing.to_string(),
            ));
        }
        tenants.sort();
        tenants.dedup();
        if tenants.len() > 1 && !(access == Access::Tenants && self.allows_several) {
            return Err(HttpError::line(StatusCode::BAD_REQUEST, "multiple org IDs present"));
        }
        Ok(tenants)
    }
}

fn parse(name: &str) -> Result<TenantId, HttpError> {
    // What follows a colon describes the request, not the tenant.
    let name = name.split(':').next().unwrap_or(name);
    TenantId::new(name).map_err(|error| match error {
        TenantError::Missing => HttpError::line(StatusCode::UNAUTHORIZED, error.to_string()),
        _ => HttpError::line(StatusCode::BAD_REQUEST, error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(header: &'static str, access: Access, expected: Result<&[&str], (u16, &str)>) {
        let authentication = Authentication { everybody: None, allows_several: true };
        let mut headers = HeaderMap::new();
        headers.insert(TENANT_HEADER, HeaderValue::from_static(header));
        let found = authentication.tenants(access, &headers);
        let found = found
            .map(|tenants| tenants.iter().map(|t| t.as_str().to_owned()).collect::<Vec<_>>())
            .map_err(|error| (error.status.as_u16(), error.body));
        let expected = expected
            .map(|names| names.iter().map(|name| (*name).to_owned()).collect())
            .map_err(|(status, body)| (status, body.to_owned()));
        assert_eq!(found, expected, "{header}");
    }

    #[test]
    fn headers_name_tenants() {
        check("a", Access::Tenant, Ok(&["a"]));
        check("a:k=v", Access::Tenant, Ok(&["a"]));
        check("a|a", Access::Tenant, Ok(&["a"]));
        check("|a|", Access::Tenant, Ok(&["a"]));
        check("|", Access::Tenants, Err((401, "no org id\n")));
        check("b|a|b", Access::Tenants, Ok(&["a", "b"]));
        check("b|a", Access::Tenant, Err((400, "multiple org IDs present\n")));
        check("", Access::Tenant, Err((401, "no org id\n")));
        check("", Access::Open, Ok(&[]));
        check("..", Access::Tenant, Err((400, "tenant ID is '.' or '..'\n")));
        let text = "tenant ID 'a/b' contains unsupported character '/'\n";
        check("a/b", Access::Tenants, Err((400, text)));
    }

    #[test]
    fn without_authentication_everybody_is_one_tenant() {
        let everybody = Some(TenantId::anonymous());
        let authentication = Authentication { everybody, allows_several: false };
        let tenants = authentication.tenants(Access::Tenants, &HeaderMap::new());
        assert_eq!(tenants, Ok(vec![TenantId::anonymous()]));
    }
}
