//! Agents inside an execution, as executions of their own.

use super::identity::own_name;
use super::{Members, Names, Trace};
use crate::assemble::group::Execution;
use crate::assemble::tree::Index;
use crate::dialect::Class;

/// The nested agents of an execution: agents' spans with a name that neither the execution nor an agent around them
/// has. A span counts for every nested agent that it lies in.
pub fn nested(trace: &Trace<'_>, execution: &Execution) -> Vec<Execution> {
    let members = Members::of(trace, execution);
    let names = Names::of(trace, execution, &members);
    let is_nested = |index: Index| {
        let Some(name) = own_name(trace, index) else {
            return false;
        };
        let around = trace
            .tree
            .ancestors(index)
            .filter(|above| trace.span(*above).class == Class::Agent)
            .find_map(|above| own_name(trace, above));
        execution.span != Some(index) && Some(name) != names.agent.as_ref() && Some(name) != around
    };
    let roots: Vec<Index> = members
        .of_class(trace, Class::Agent)
        .filter(|index| is_nested(*index))
        .collect();
    let mut nested: Vec<Execution> = roots
        .iter()
        .map(|root| Execution {
            id: trace.span(*root).id,
            span: Some(*root),
            members: Vec::new(),
            has_ended: true,
        })
        .collect();
    for index in &execution.members {
        for above in std::iter::once(*index).chain(trace.tree.ancestors(*index)) {
            if let Some(at) = roots.iter().position(|root| *root == above) {
                nested[at].members.push(*index);
            }
        }
    }
    nested
}
