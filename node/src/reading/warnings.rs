//! What an operator should mend, a sentence each.

use hanse_protocol::charter::Charter;

use super::Reading;

impl Reading {
    /// Everything there is to mend that this node knows of; nothing as a rule.
    pub fn warnings(&self) -> Vec<String> {
        let unreachable = self.unreachable();
        unreachable
            .into_iter()
            .chain(self.shown_out())
            .chain(self.forked())
            .collect()
    }

    /// Whether two charters of one version were signed, so that members stand apart.
    fn forked(&self) -> Option<String> {
        let standing = self.exchange.standing();
        let charters = standing
            .charters
            .as_ref()
            .filter(|charters| charters.fork_open())?;
        Some(format!(
            "the charter has FORKED at version {}: members on the other side share nothing with this one, and              membership does not change, before stewards of both sides agree: `hanse community show` tells what              each says, `hanse community join-fork` proposes one charter after both",
            charters.charter().version
        ))
    }

    /// Whether nobody can reach anybody, so that the community is one by name only.
    fn unreachable(&self) -> Option<String> {
        let standing = self.exchange.standing();
        let charters = standing.charters.as_ref()?;
        let connected = !self.links.now().is_empty();
        if connected || has_address(charters.charter()) {
            return None;
        }
        let own = &standing.profile.handle;
        Some(format!(
            "no node in the charter has an address, so none can reach another: before the next member is \
             admitted a steward lists one that others can dial, such as `hanse community addresses {own} 0 \
             /ip4/192.0.2.10/tcp/7475`; members who joined earlier learn of it once their own address is \
             listed too, and they are dialled"
        ))
    }

    /// Whether this node speaks to nobody, as its membership has ended or others do not know it.
    pub fn shown_out(&self) -> Option<String> {
        let standing = self.exchange.standing();
        let charters = standing.charters.as_ref()?;
        let member = charters.charter().member(&standing.profile.handle);
        if member.is_none_or(|member| member.ended.is_some()) {
            return Some(
                "this organisation's membership has ended: nothing of it is taken any more".to_owned(),
            );
        }
        let at = self.healing.turned_away()?;
        Some(format!(
            "another node said at {at} that it does not know this one: either a charter that this node has not \
             seen ended its membership, or the other has yet to hear of it. What is published here may reach \
             nobody; ask a steward"
        ))
    }
}

/// Whether any node that is listed can be dialled.
fn has_address(charter: &Charter) -> bool {
    let mut lanes = charter.active().flat_map(|member| &member.lanes);
    lanes.any(|lane| lane.closed.is_none() && !lane.addresses.is_empty())
}
