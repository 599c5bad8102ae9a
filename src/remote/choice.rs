//! Choice: in which order the endpoints are asked about a policy. The same policy comes to the same endpoint, which has it in
//! its prefix cache, and where one endpoint leaves, no other's policies move.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;

use pingora_ketama::{Bucket, Continuum, DEFAULT_POINT_MULTIPLE};
use sha2::{Digest, Sha256};

/// Endpoints on a ring, each at many points.
pub struct Ring {
    continuum: Continuum,
    /// What each endpoint is on the ring.
    nodes: Vec<SocketAddr>,
    /// Of all endpoints.
    points: usize,
}

impl Ring {
    /// Of endpoints with these names and weights. An endpoint's place depends on its own name alone.
    pub fn new<'a>(endpoints: impl IntoIterator<Item = (&'a str, NonZeroU32)>) -> Self {
        let buckets: Vec<(SocketAddr, u32)> =
            endpoints.into_iter().map(|(name, weight)| (node(name), weight.get())).collect();
        let points = buckets.iter().map(|(_, weight)| (weight * DEFAULT_POINT_MULTIPLE) as usize).sum();
        let nodes = buckets.iter().map(|(node, _)| *node).collect();
        let buckets: Vec<Bucket> = buckets.into_iter().map(|(node, weight)| Bucket::new(node, weight)).collect();
        Ring { continuum: Continuum::new(&buckets), nodes, points }
    }

    /// Every endpoint once, by its index: the key's own first, then who would be it if that were not there, and so on.
    pub fn order(&self, key: &str) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let met = self.continuum.node_iter(key.as_bytes()).take(self.points);
        let met = met.filter_map(|node| self.nodes.iter().position(|known| known == node));
        // An endpoint without a point of its own comes last.
        for index in met.chain(0..self.nodes.len()) {
            if order.len() == self.nodes.len() {
                break;
            }
            if !order.contains(&index) {
                order.push(index);
            }
        }
        order
    }
}

/// The ring knows nodes as socket addresses; this one leads nowhere.
fn node(name: &str) -> SocketAddr {
    let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let (mut ip, mut port) = ([0; 16], [0; 2]);
    ip.copy_from_slice(&digest[..16]);
    port.copy_from_slice(&digest[16..18]);
    SocketAddrV6::new(Ipv6Addr::from(ip), u16::from_be_bytes(port), 0, 0).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const NAMES: [&str; 4] = ["http://a:8000/v1", "http://b:8000/v1", "http://c:8000/v1", "http://d:8000/v1"];

    fn ring(endpoints: &[(&str, u32)]) -> Ring {
        Ring::new(endpoints.iter().map(|&(name, weight)| (name, NonZeroU32::new(weight).unwrap())))
    }

    fn key(number: usize) -> String {
        Sha256::digest(number.to_le_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn policies_are_shared_out_by_weight() {
        let shares = |weights: [u32; 4]| {
            let endpoints: Vec<(&str, u32)> = NAMES.into_iter().zip(weights).collect();
            let ring = ring(&endpoints);
            let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
            (0..4000).for_each(|n| *counts.entry(ring.order(&key(n))[0]).or_default() += 1);
            counts.into_values().collect::<Vec<_>>()
        };
        assert!(shares([1; 4]).iter().all(|share| (700..1300).contains(share)), "{:?}", shares([1; 4]));
        let weighted = shares([5, 1, 1, 1]);
        assert!((2100..2900).contains(&weighted[0]), "{weighted:?}");
    }

    #[test]
    fn where_one_leaves_only_its_own_policies_move() {
        let all = ring(&NAMES.map(|name| (name, 1)));
        let mut moved = 0;
        for gone in NAMES {
            let left: Vec<&str> = NAMES.into_iter().filter(|&name| name != gone).collect();
            let fewer = ring(&left.iter().map(|&name| (name, 1)).collect::<Vec<_>>());
            for n in 0..1000 {
                let before = all.order(&key(n));
                let after = left[fewer.order(&key(n))[0]];
                // Who follows in the order is who takes over.
                let expected = before.iter().map(|&at| NAMES[at]).find(|&name| name != gone);
                assert_eq!(Some(after), expected);
                moved += usize::from(after != NAMES[before[0]]);
            }
        }
        assert_eq!(moved, 1000, "each policy moves with the one endpoint that it was on");
    }

    proptest! {
        #[test]
        fn an_order_has_every_endpoint_once(weights in prop::collection::vec(1u32..101, 1..9), key in any::<String>()) {
            let names: Vec<String> = (0..weights.len()).map(|n| format!("http://h{n}")).collect();
            let endpoints: Vec<(&str, u32)> = names.iter().map(String::as_str).zip(weights).collect();
            let mut order = ring(&endpoints).order(&key);
            prop_assert_eq!(&order, &ring(&endpoints).order(&key));
            order.sort_unstable();
            prop_assert_eq!(order, (0..names.len()).collect::<Vec<_>>());
        }
    }
}
