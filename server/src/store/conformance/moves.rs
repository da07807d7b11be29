//! Where the server moves, and that the log tells it.

use simsync_card::ids::Hash;
use simsync_protocol::api::MovingTo;

use super::fixture::Fixture;
use crate::store::audit;

impl Fixture {
    pub(super) async fn moving(&self) {
        let s = &self.store;
        assert_eq!(s.moving().await.unwrap(), None);
        for address in ["new.example.org", "other.example.org:7444"] {
            let to = MovingTo {
                address: address.parse().unwrap(),
                ca_pin: Hash([7; 32]),
            };
            s.set_moving(Some(to.clone()), 48).await.unwrap();
            assert_eq!(s.moving().await.unwrap(), Some(to));
        }
        s.set_moving(None, 49).await.unwrap();
        assert_eq!(s.moving().await.unwrap(), None);
        let log = s.audit_log().await.unwrap();
        let told = |r: &&audit::AuditRow| r.action == "moving-announced";
        assert_eq!(log.iter().filter(told).count(), 3);
    }
}
