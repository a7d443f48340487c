//! What a component imports and exports, by name, for those who want to see it.

use super::{Component, Runtime};

/// The names at a component's border, in its order.
pub struct Names {
    /// What it imports, and whether guests are offered it.
    pub imports: Vec<(String, bool)>,
    /// What it exports.
    pub exports: Vec<String>,
}

impl Runtime {
    /// What a component imports and exports.
    pub fn names(&self, component: &Component) -> Names {
        let refused = twinlet_host::link::refused_imports(self.engine(), component);
        let of_type = component.component_type();
        let imports = of_type.imports(self.engine()).map(|(name, _)| {
            let offered = !refused.iter().any(|refused| refused == name);
            (name.to_owned(), offered)
        });
        let imports = imports.collect();
        let exports = of_type.exports(self.engine()).map(|(name, _)| name.to_owned()).collect();
        Names { imports, exports }
    }
}
