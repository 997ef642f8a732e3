//! Which serializer a connection speaks.

/// A serializer version, fixed for the life of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// JSON objects in text frames.
    V1,
    /// JSON arrays in text frames, and binary frames for user broadcasts.
    V2,
}

/// A `vsn` that names no serializer served here. The handshake is refused with 403 and an empty body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported serializer version")]
pub struct UnsupportedVersion;

impl Version {
    /// The serializer for the `vsn` query parameter; none means 1.0.0.
    ///
    /// A `vsn` is a complete semantic version, `MAJOR.MINOR.PATCH` with optional pre-release and build parts, and has
    /// to satisfy `~> 1.0.0` or `~> 2.0.0`: same major and minor number, not before the first release. So `2.0.9`,
    /// `2.0.1-rc.1` and `2.0.0+x` are accepted while `2`, `2.0`, `2.1.0` and `2.0.0-rc.1` are not.
    ///
    /// Source: protocol-spec/wire.md, section 2.
    ///
    /// # Errors
    ///
    /// [`UnsupportedVersion`] for everything else, the empty string included.
    pub fn negotiate(vsn: Option<&str>) -> Result<Self, UnsupportedVersion> {
        let Some(vsn) = vsn else { return Ok(Self::V1) };
        let release = parse_release(vsn).ok_or(UnsupportedVersion)?;
        match release {
            Release {
                minor: "0",
                patch: "0",
                pre_release: true,
                ..
            } => Err(UnsupportedVersion),
            Release {
                major: "1",
                minor: "0",
                ..
            } => Ok(Self::V1),
            Release {
                major: "2",
                minor: "0",
                ..
            } => Ok(Self::V2),
            Release { .. } => Err(UnsupportedVersion),
        }
    }
}

struct Release<'a> {
    major: &'a str,
    minor: &'a str,
    patch: &'a str,
    pre_release: bool,
}

fn parse_release(vsn: &str) -> Option<Release<'_>> {
    let (vsn, build) = match vsn.split_once('+') {
        Some((vsn, build)) => (vsn, Some(build)),
        None => (vsn, None),
    };
    let (numbers, pre) = match vsn.split_once('-') {
        Some((numbers, pre)) => (numbers, Some(pre)),
        None => (vsn, None),
    };
    let mut numbers = numbers.split('.');
    let release = Release {
        major: numbers.next()?,
        minor: numbers.next()?,
        patch: numbers.next()?,
        pre_release: pre.is_some(),
    };
    let well_formed = numbers.next().is_none()
        && [release.major, release.minor, release.patch]
            .into_iter()
            .all(is_number)
        && pre.is_none_or(|pre| {
            pre.split('.')
                .all(|part| is_identifier(part) && !has_leading_zero(part))
        })
        && build.is_none_or(|build| build.split('.').all(is_identifier));
    well_formed.then_some(release)
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) && !has_leading_zero(part)
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// True for a number written with a superfluous zero in front.
fn has_leading_zero(part: &str) -> bool {
    part.len() > 1 && part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_version_means_the_first() {
        assert_eq!(Version::negotiate(None), Ok(Version::V1));
    }

    #[test]
    fn patch_releases_are_accepted() {
        for vsn in [
            "1.0.0",
            "1.0.7",
            "1.0.123456789012345678901234567890",
            "1.0.0+build.01",
        ] {
            assert_eq!(Version::negotiate(Some(vsn)), Ok(Version::V1), "{vsn}");
        }
        for vsn in ["2.0.0", "2.0.9", "2.0.1-rc.1", "2.0.3-x+y"] {
            assert_eq!(Version::negotiate(Some(vsn)), Ok(Version::V2), "{vsn}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for vsn in [
            "",
            "1",
            "2",
            "2.0",
            "2.0.",
            "x",
            "1.1.0",
            "2.1.0",
            "3.0.0",
            "0.0.0",
            "02.0.0",
            "2.0.00",
            "2.0.0.0",
            " 2.0.0",
            "2.0.0 ",
            "2.0.0-rc.1",
            "1.0.0-0",
            "2.0.1-",
            "2.0.1-01",
            "2.0.0+",
            "2.0.0+a..b",
            "v2.0.0",
            "2.0.-1",
            "2.0.1-é",
        ] {
            assert_eq!(Version::negotiate(Some(vsn)), Err(UnsupportedVersion), "{vsn:?}");
        }
    }
}
