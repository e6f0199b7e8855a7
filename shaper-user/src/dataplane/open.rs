//! Opening what is pinned, and making it: every map is as the object defines it, or it is not used.

use std::os::fd::{AsFd, OwnedFd};

use shaper_common::names::{self, LAYOUT_VERSION, MAGIC, PINNED_MAPS};
use shaper_common::rule::Meta;

use super::Dataplane;
use super::bpf::{self, MapInfo};
use super::buckets::Buckets;
use super::clients::Clients;
use super::error::{DataplaneError, MISSING};
use super::filter::Filter;
use super::maps::{Map, difference};
use super::pins::{self, Pins, Root};
use super::program::{Definition, Definitions, build_id};
use super::slots::{self, Slots};
use crate::paths::Paths;

impl Dataplane {
    /// Opens what is pinned.
    ///
    /// # Errors
    ///
    /// [`DataplaneError::NotUp`] if nothing is pinned, or what makes the pins unusable.
    pub fn open(paths: &Paths) -> Result<Self, DataplaneError> {
        let root = Root::open(&paths.bpffs)?.ok_or(DataplaneError::NotUp)?;
        let pins = root.pins()?.ok_or(DataplaneError::NotUp)?;
        Self::check(root, pins, paths)
    }

    /// Opens what is pinned, or makes the maps if nothing is. The flag says that they were made.
    ///
    /// # Errors
    ///
    /// What makes the pins unusable, or the kernel's refusal; then nothing was changed.
    pub fn create_or_open(paths: &Paths) -> Result<(Self, bool), DataplaneError> {
        let root = Root::create(&paths.bpffs)?;
        // What cannot be used is refused before anything is made beside it.
        root.others()?;
        if let Some(pins) = root.pins()? {
            return Ok((Self::check(root, pins, paths)?, false));
        }
        let draft = root.draft()?;
        let made = Self::build(&draft).and_then(|()| root.publish(&draft));
        match made {
            Ok(pins) => Ok((Self::check(root, pins, paths)?, true)),
            Err(error) => {
                // The first error is the one to report.
                let _ = draft.remove();
                let _ = root.remove();
                Err(error)
            }
        }
    }

    fn build(draft: &Pins) -> Result<(), DataplaneError> {
        let definitions = Definitions::read()?;
        for name in pins::shared_maps() {
            make_map(draft, definitions.get(name), name)?;
        }
        let meta: Map<u32, Meta> = open_map(draft, &definitions, names::META)?;
        let says = Meta {
            magic: MAGIC,
            layout_version: LAYOUT_VERSION,
            build_id: 0,
        };
        meta.put(&0, &says)
            .map_err(|error| DataplaneError::kernel("write the map META", error))?;
        Self::buckets(draft, &definitions)?.ensure(0).map(drop)
    }

    fn buckets(pins: &Pins, definitions: &Definitions) -> Result<Buckets, DataplaneError> {
        let outer = open_map(pins, definitions, names::BUCKETS)?;
        Ok(Buckets::new(
            outer,
            definitions.inner(names::BUCKETS),
            pins.clone(),
        ))
    }

    fn check(root: Root, pins: Pins, paths: &Paths) -> Result<Self, DataplaneError> {
        let definitions = Definitions::read()?;
        let meta: Map<u32, Meta> = open_map(&pins, &definitions, names::META)?;
        let says = meta
            .get(&0)
            .map_err(|error| DataplaneError::kernel("read the map META", error))?;
        let says = says.unwrap_or_default();
        if says.magic != MAGIC || says.layout_version != LAYOUT_VERSION {
            let problem = "it does not say that shaper made these pins".into();
            return Err(DataplaneError::ForeignPin {
                path: pins.path(names::META),
                problem,
            });
        }
        for name in PINNED_MAPS {
            open_checked(&pins, &definitions, name)?;
        }
        let outer = |name| open_map(&pins, &definitions, name);
        let [exact4, exact6, prefix4, prefix6, groups, services] = slots::NAMES.map(outer);
        let slots = Slots {
            active: open_map(&pins, &definitions, names::ACTIVE)?,
            policies: open_map(&pins, &definitions, names::POLICIES)?,
            outer: [exact4?, exact6?, prefix4?, prefix6?, groups?, services?],
            filter: Filter::new(open_checked(&pins, &definitions, names::FILTER)?)?,
            pins: pins.clone(),
        };
        let clients = Clients::new(
            outer(names::CLIENTS)?,
            definitions.inner(names::CLIENTS),
            pins.clone(),
        );
        let buckets = Self::buckets(&pins, &definitions)?;
        let totals = open_checked(&pins, &definitions, names::TOTALS)?;
        Ok(Self {
            root,
            pins,
            definitions,
            slots,
            buckets,
            clients,
            totals,
            meta,
            paths: paths.clone(),
        })
    }

    /// The numbers of the pinned maps that every program uses.
    pub(super) fn map_ids(&self) -> Result<Vec<u32>, DataplaneError> {
        let used = PINNED_MAPS.into_iter().filter(|name| *name != names::META);
        used.map(|name| {
            let fd = open_checked(&self.pins, &self.definitions, name)?;
            let info = bpf::map_info(fd.as_fd());
            info.map(|info| info.id)
                .map_err(|error| DataplaneError::kernel(format!("look at the map {name}"), error))
        })
        .collect()
    }

    /// Says in the pins which object was loaded last.
    pub(super) fn say_build_id(&self) -> Result<(), DataplaneError> {
        let says = Meta {
            magic: MAGIC,
            layout_version: LAYOUT_VERSION,
            build_id: build_id(),
        };
        self.meta
            .put(&0, &says)
            .map_err(|error| DataplaneError::kernel("write the map META", error))
    }
}

/// `error`, or what is there instead if it says that nothing is.
#[must_use]
pub fn of_another_layout(error: DataplaneError, paths: &Paths) -> DataplaneError {
    let find = || -> Result<Option<Pins>, DataplaneError> {
        let root = Root::open(&paths.bpffs)?;
        Ok(root
            .map(|root| root.others())
            .transpose()?
            .and_then(|others| others.into_iter().next()))
    };
    match error {
        DataplaneError::NotUp => match find() {
            Ok(Some(other)) => DataplaneError::OtherLayout {
                path: other.dir().to_owned(),
            },
            _ => DataplaneError::NotUp,
        },
        error => error,
    }
}

/// Makes and pins the map `name`, with nothing in it.
fn make_map(pins: &Pins, definition: Definition, name: &str) -> Result<(), DataplaneError> {
    let refused = |error| DataplaneError::kernel(format!("make the map {name}"), error);
    let map = definition.make(name).map_err(refused)?;
    pins.put(name, map.as_fd())
}

/// The pinned map `name`, known to be as the object defines it.
fn open_checked(pins: &Pins, definitions: &Definitions, name: &str) -> Result<OwnedFd, DataplaneError> {
    let foreign = |problem| DataplaneError::ForeignPin {
        path: pins.path(name),
        problem,
    };
    let fd = pins.open(name)?.ok_or_else(|| foreign(MISSING.into()))?;
    let found: MapInfo = bpf::map_info(fd.as_fd()).map_err(|error| foreign(error.to_string()))?;
    if let Some(problem) = difference(&found, &definitions.get(name).map) {
        return Err(foreign(problem));
    }
    // Maps of maps are all of one shape.
    let says = bpf::map_name(fd.as_fd()).map_err(|error| foreign(error.to_string()))?;
    if says == name {
        Ok(fd)
    } else {
        Err(foreign(format!("it is the map {says}")))
    }
}

fn open_map<K: aya::Pod, V: aya::Pod>(
    pins: &Pins,
    definitions: &Definitions,
    name: &str,
) -> Result<Map<K, V>, DataplaneError> {
    let fd = open_checked(pins, definitions, name)?;
    Map::new(fd).map_err(|problem| DataplaneError::ForeignPin {
        path: pins.path(name),
        problem,
    })
}
