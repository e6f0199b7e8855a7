//! What a command that changes queues does, call by call.

use super::super::{Scene, Settled};
use super::{DOWN, End, Trip};
use crate::trace::Place;
use crate::visible::Sight;

/// What there is to be found, and what can be done on the way.
#[derive(Debug)]
pub struct Known {
    /// What there is before all.
    pub found: Settled,
    /// What there is before the command.
    pub old: Settled,
    /// What it leads to.
    pub new: Settled,
    /// Calls before which it is to be killed: around each that changes a queue or hook.
    pub moments: Vec<Place>,
    /// Calls that ask for a change of queues or filters.
    pub requests: Vec<Place>,
}

impl Known {
    /// What there is to be in the `end`.
    #[must_use]
    pub fn wanted(&self, end: End) -> &Settled {
        match end {
            End::Found => &self.found,
            End::Old => &self.old,
            End::New => &self.new,
        }
    }

    /// Goes through the command call by call.
    #[must_use]
    pub fn of(trip: &Trip) -> Self {
        let scene = Scene::on(&trip.ground);
        let untouched = scene.settled();
        trip.prepare(&scene);
        scene.take(&trip.there);
        scene.take(&DOWN);
        let found = scene.settled();
        assert!(
            found.has_the_network_of(&untouched),
            "{found:?} instead of {untouched:?}"
        );
        trip.prepare(&scene);
        let old = scene.settled();
        let (mut moments, mut requests) = (Vec::new(), Vec::new());
        let mut last = Sight::default();
        let mut interfaces = scene.eye.look().interfaces;
        let mut candidate: Option<(Place, Sight)> = None;
        let mut traced = scene.start(&trip.there);
        while let Some((call, place)) = traced.next_call() {
            if let Some((before, sight)) = candidate.take() {
                let now = scene.eye.look();
                interfaces.clone_from(&now.interfaces);
                if now.interfaces != sight.interfaces {
                    for (moment, sight) in [(before, sight), (place.clone(), now)] {
                        // Where nothing has changed since, to be killed is the same.
                        if sight != last {
                            moments.push(moment);
                            last = sight;
                        }
                    }
                }
            }
            let is_request = traced.requests_a_change(&call);
            if is_request {
                requests.push(place.clone());
            }
            if is_request || call.attaches() {
                let sight = scene.eye.look();
                assert_eq!(sight.interfaces, interfaces, "another call has changed them");
                candidate = Some((place, sight));
            }
        }
        assert_eq!(
            scene.eye.look().interfaces,
            interfaces,
            "another call has changed them"
        );
        let ended = traced.finish();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let new = scene.settled();
        scene.take(&DOWN);
        assert_eq!(scene.settled().difference(&found), None);
        Self {
            found,
            old,
            new,
            moments,
            requests,
        }
    }
}
