//! What keeps a function out although it is valid: that nobody who is trusted has signed it, or that it is older than one
//! that was accepted.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Accepted, Change, Refused};
use crate::desired::{ALLOW_DOWNGRADE, Defaults, Desired, FunctionId, FunctionSpec, Origin, Problems, Trust};

impl Accepted {
    /// It stands from now on, and with it the floors of what came signed; those of what was let go below come along.
    pub(super) fn accept(mut self, defaults: &Defaults) -> Result<Change, Refused> {
        let mut desired = self.desired(defaults)?;
        let raised = |id| desired.signed.contains(id);
        let lowered = |id, version| {
            desired.origins.get(id) != Some(&Origin::Api) && self.floors.of(id).is_some_and(|f| version < f)
        };
        let versions = desired.functions.iter().map(|(id, spec)| (id, spec.version));
        self.floors =
            self.floors.with(versions.filter(|(id, version)| raised(*id) || lowered(*id, *version)));
        desired.source = Arc::new(self.clone());
        Ok(Change::Next(Box::new(self), Box::new(desired)))
    }

    /// A function of the hub's as it stands in the highest layer that has it.
    fn of_hub(&self, id: &FunctionId) -> Option<&Value> {
        let of_twin = || self.twin.as_ref()?.get("functions")?.get(id.as_str());
        self.functions.get(id.as_str()).or_else(of_twin)
    }

    /// Takes out what nobody trusted has signed, and marks what somebody has.
    pub(super) fn leave_out_untrusted(&self, desired: &mut Desired, trust: &Trust) {
        let Desired { functions, misfits, signed, .. } = desired;
        functions.retain(|id, spec| {
            let signature = self.of_hub(id).and_then(|f| f.get("signature")?.as_str()?.parse().ok());
            match trust.check(id, spec.version, &spec.sha256, signature.as_ref()) {
                Ok(true) => drop(signed.insert(id.clone())),
                Ok(false) => {}
                Err(why) => {
                    misfits.insert(id.clone(), format!("its signature {why}"));
                    return false;
                }
            }
            true
        });
    }

    /// Says which functions would go back to an older version than one that was accepted.
    pub(super) fn refuse_downgrade(
        &self,
        functions: &BTreeMap<FunctionId, FunctionSpec>,
        path: impl Fn(&FunctionId) -> String,
    ) -> Result<(), Refused> {
        let mut problems = Problems::default();
        for (id, spec) in functions {
            let stands = self.of_hub(id).and_then(|f| f.get("version")?.as_u64());
            let floor = stands.max(self.floors.of(id));
            if let Some(floor) = floor.filter(|floor| spec.version < *floor) {
                let why = format_args!(
                    "{} is older than {floor}, which was accepted; only `{ALLOW_DOWNGRADE}: true` lets it go back",
                    spec.version
                );
                problems.add(&path(id), why);
            }
        }
        problems.or(Some(())).map_err(Refused::Downgrade)
    }
}

/// Whether a document or a deployment message lets its functions go back.
pub(super) fn allows_downgrade(message: &Value) -> bool {
    message.get(ALLOW_DOWNGRADE) == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests;
