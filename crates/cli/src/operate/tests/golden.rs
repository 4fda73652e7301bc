//! Output as it is to be: `testdata/operate`. `LONGHAUL_WRITE_GOLDEN=1` writes it anew, to be read before it is kept.

use std::path::Path;

pub(super) fn check(name: &str, output: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/operate");
    let path = dir.join(format!("{name}.txt"));
    if std::env::var_os("LONGHAUL_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, output).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(output, expected, "{}", path.display());
}
