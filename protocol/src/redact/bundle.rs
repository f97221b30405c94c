//! A publication as one audience gets it: each object cut by itself, then what refers to what is gone,
//! again and again until nothing more goes.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::ids::{Mint, canonical, contributes, is_guessable};
use super::names::Names;
use super::text::Search;
use super::trail::{Trail, walk};
use super::victims::victims;
use super::work::Work;
use super::{Cut, DropReason, Glance, Outlook, Redaction, Sight, Why, alone};
use crate::json::Json;
use crate::json::edit::quoted;
use crate::stix::type_of_id;

/// An id in its canonical spelling.
type Id<'o> = Cow<'o, str>;

/// A publication as one audience gets it.
pub(super) struct Bundle<'o, 'r, 'a> {
    glances: &'a [Glance<'o, 'r>],
    outlook: &'a Outlook<'a>,
    mint: Mint,
    victims: BTreeSet<Id<'o>>,
    /// Which objects have an id, shown or not.
    bearers: HashMap<Id<'o>, Vec<usize>>,
    /// Which objects that are shown refer to an id.
    referrers: HashMap<Id<'o>, Vec<usize>>,
    /// Ids of objects that the audience does not get.
    gone: HashSet<Id<'o>>,
    /// What takes the place of ids, and why.
    renamed: HashMap<Id<'o>, (String, Why)>,
}

/// What becomes of a reference.
enum Fate {
    Stays,
    Goes(Why),
    Becomes(String, Why),
}

/// What working at an object came to.
enum Outcome<'o> {
    /// This is what is left of it.
    Done(Cut<'o>),
    /// Its id can be guessed from what was struck.
    Rename,
}

impl<'o, 'r, 'a> Bundle<'o, 'r, 'a> {
    pub(super) fn new(glances: &'a [Glance<'o, 'r>], outlook: &'a Outlook<'a>) -> Self {
        let named = |sight: &Sight<'_>| sight.redaction.victims || sight.redaction.pseudonyms;
        let asked = glances
            .iter()
            .any(|glance| glance.sight.as_ref().is_some_and(named));
        let mut bearers: HashMap<Id<'o>, Vec<usize>> = HashMap::with_capacity(glances.len());
        for (number, glance) in glances.iter().enumerate() {
            bearers
                .entry(canonical(glance.object.id()))
                .or_default()
                .push(number);
        }
        Self {
            glances,
            outlook,
            mint: Mint::new(outlook.secret, outlook.audience),
            victims: if asked { victims(glances) } else { BTreeSet::new() },
            bearers,
            referrers: HashMap::new(),
            gone: HashSet::new(),
            renamed: HashMap::new(),
        }
    }

    pub(super) fn cut(mut self) -> Vec<Cut<'o>> {
        let mut works = self.alone();
        self.translations(&mut works);
        self.refer(&works);
        let mut cuts: Vec<Cut<'o>> = works
            .iter()
            .map(|work| match work {
                Ok(work) => Cut::Shown {
                    text: Cow::Borrowed(work.object().raw()),
                    strikes: Vec::new(),
                },
                Err(reason) => Cut::Dropped(reason.clone()),
            })
            .collect();
        let mut waiting = self.first(&works);
        while let Some(number) = waiting.pop_first() {
            let (Some(Ok(work)), Some(cut)) = (works.get(number), cuts.get_mut(number)) else {
                continue;
            };
            if matches!(cut, Cut::Dropped(_)) {
                continue;
            }
            match self.work_at(number, work.clone()) {
                Outcome::Rename => {
                    let id = canonical(work.object().id());
                    let new = self.mint.id(&id);
                    waiting.extend(self.concerned(&id));
                    self.renamed.insert(id, (new, Why::Id));
                }
                Outcome::Done(done) => {
                    let dropped = matches!(done, Cut::Dropped(_));
                    *cut = done;
                    if dropped {
                        let id = canonical(work.object().id());
                        if self.is_left(&id, &cuts) {
                            continue;
                        }
                        waiting.extend(self.concerned(&id));
                        self.gone.insert(id);
                    }
                }
            }
        }
        cuts
    }

    /// Cuts each object by itself, and notes whose id is replaced by a pseudonym's.
    fn alone(&mut self) -> Vec<Result<Work<'o>, DropReason>> {
        let names = self.names();
        let mut works = Vec::with_capacity(self.glances.len());
        for glance in self.glances {
            let Some(sight) = &glance.sight else {
                works.push(Err(DropReason::NotForAudience));
                continue;
            };
            let id = canonical(glance.object.id());
            let victim = self.victims.contains(&id) && glance.object.kind() == "identity";
            let pseudonym = victim && sight.redaction.pseudonyms;
            if victim && sight.redaction.victims && !pseudonym {
                works.push(Err(DropReason::Victim));
                continue;
            }
            if pseudonym {
                let new = self.mint.id(&id);
                self.renamed.insert(id, (new, Why::Pseudonym));
            }
            let work = Search::new(
                self.outlook.rules,
                sight.redaction,
                names.asked_by(sight.redaction),
            )
            .and_then(|search| alone::cut(glance.object, sight, &search, pseudonym.then_some(&self.mint)));
            works.push(work);
        }
        works
    }

    /// The names of victims. Those whose own object must not tell who they are are looked for in every
    /// object, all of them where the object asks for it.
    fn names(&self) -> VictimNames {
        let of = |pseudonyms: bool, wanted: &dyn Fn(&Redaction) -> bool, own: bool| {
            let asked =
                |glance: &&Glance<'o, 'r>| glance.sight.as_ref().is_some_and(|sight| wanted(sight.redaction));
            let victims: BTreeSet<Id<'_>> = if own {
                let asking = self.glances.iter().filter(asked);
                let asking = asking.map(|glance| canonical(glance.object.id()));
                asking.filter(|id| self.victims.contains(id)).collect()
            } else if self.glances.iter().any(|glance| asked(&glance)) {
                self.victims.clone()
            } else {
                BTreeSet::new()
            };
            Names::of(self.glances, &victims, pseudonyms.then_some(&self.mint))
        };
        let struck = |redaction: &Redaction| redaction.victims && !redaction.pseudonyms;
        let pseudonyms = |redaction: &Redaction| redaction.pseudonyms;
        // Objects that ask for either are searched for all names.
        let asks = |sight: &Sight<'_>| sight.redaction.victims || sight.redaction.pseudonyms;
        let all_ask = self
            .glances
            .iter()
            .filter_map(|glance| glance.sight.as_ref())
            .all(asks);
        let own = |pseudonym: bool, wanted: &dyn Fn(&Redaction) -> bool| match all_ask {
            true => Names::default(),
            false => of(pseudonym, wanted, true),
        };
        VictimNames {
            struck: of(false, &struck, false),
            pseudonyms: of(true, &pseudonyms, false),
            own_struck: own(false, &struck),
            own_pseudonyms: own(true, &pseudonyms),
        }
    }

    /// Strikes translations of what was struck in the object that language content is about.
    fn translations(&self, works: &mut [Result<Work<'o>, DropReason>]) {
        let mut struck: Vec<(usize, BTreeSet<&'o str>)> = Vec::new();
        for (number, work) in works.iter().enumerate() {
            let Ok(work) = work else { continue };
            let about = work.object().json().get("object_ref").and_then(Json::as_str);
            let (true, Some(about)) = (work.object().kind() == "language-content", about) else {
                continue;
            };
            let originals = self.bearers.get(&canonical(about)).into_iter().flatten();
            let originals = originals.filter_map(|number| works.get(*number)?.as_ref().ok());
            struck.push((number, originals.flat_map(Work::touched).collect()));
        }
        for (number, properties) in struck {
            if let Some(Ok(work)) = works.get_mut(number) {
                alone::translations(work, &|property| properties.contains(property), &Why::About);
            }
        }
    }

    /// Notes who refers to whom, and whom the audience does not get.
    fn refer(&mut self, works: &[Result<Work<'o>, DropReason>]) {
        for (id, bearers) in &self.bearers {
            let shown = bearers
                .iter()
                .any(|number| works.get(*number).is_some_and(Result::is_ok));
            if !shown {
                self.gone.insert(id.clone());
            }
        }
        for (number, work) in works.iter().enumerate() {
            let Ok(work) = work else { continue };
            references(work.object().json(), &mut |_, id, _| {
                let referrers = self.referrers.entry(canonical(id)).or_default();
                if referrers.last() != Some(&number) {
                    referrers.push(number);
                }
            });
        }
        for id in self.referrers.keys() {
            if !self.bearers.contains_key(id) && (self.outlook.hidden)(id) {
                self.gone.insert(id.clone());
            }
        }
    }

    /// The objects that do not go as they were issued, as far as is known at first.
    fn first(&self, works: &[Result<Work<'o>, DropReason>]) -> BTreeSet<usize> {
        let numbered = works.iter().enumerate();
        let touched = numbered.filter_map(|(number, work)| {
            let touched = !work.as_ref().ok()?.is_untouched();
            touched.then_some(number)
        });
        let mut first: BTreeSet<usize> = touched.collect();
        let ids = self.gone.iter().chain(self.renamed.keys()).chain(&self.victims);
        for id in ids {
            first.extend(self.concerned(id));
        }
        first
    }

    /// The objects that have an id or refer to it.
    fn concerned(&self, id: &Id<'o>) -> Vec<usize> {
        let of = |map: &HashMap<Id<'o>, Vec<usize>>| map.get(id).cloned().unwrap_or_default();
        let mut concerned = of(&self.bearers);
        concerned.extend(of(&self.referrers));
        concerned
    }

    /// Whether a version of the object with this id is shown.
    fn is_left(&self, id: &Id<'o>, cuts: &[Cut<'o>]) -> bool {
        let mut bearers = self.bearers.get(id).into_iter().flatten();
        bearers.any(|number| matches!(cuts.get(*number), Some(Cut::Shown { .. })))
    }

    fn fate(&self, id: &str, redaction: &Redaction) -> Fate {
        let id = canonical(id);
        if self.gone.contains(&id) {
            return Fate::Goes(Why::Reference);
        }
        if self.victims.contains(&id) {
            if redaction.pseudonyms {
                return Fate::Becomes(self.mint.id(&id), Why::Pseudonym);
            }
            if redaction.victims {
                return Fate::Goes(Why::Victim);
            }
        }
        match self.renamed.get(&id) {
            Some((new, why)) => Fate::Becomes(new.clone(), why.clone()),
            None => Fate::Stays,
        }
    }

    /// Brings an object in line with what is gone and renamed by now.
    fn work_at(&self, number: usize, mut work: Work<'o>) -> Outcome<'o> {
        let object = work.object();
        let sight = self.glances.get(number).and_then(|glance| glance.sight.as_ref());
        let Some(redaction) = sight.map(|sight| sight.redaction) else {
            return Outcome::Done(Cut::Dropped(DropReason::NotForAudience));
        };
        references(
            object.json(),
            &mut |trail, id, is_key| match self.fate(id, redaction) {
                Fate::Stays => {}
                Fate::Goes(why) => work.strike(trail.places(), why),
                // What is filed under an id that has another name now has no place any more.
                Fate::Becomes(_, why) if is_key => work.strike(trail.places(), why),
                Fate::Becomes(new, why) => work.replace(trail.places(), quoted(&new), why),
            },
        );
        let id = canonical(object.id());
        match self.renamed.get(&id) {
            Some((new, why)) => rename(&mut work, new, why),
            None => {
                // What goes with what was struck counts too.
                work.settle();
                let kind = object.kind();
                if is_guessable(&id) && work.touched().any(|property| contributes(kind, property)) {
                    return Outcome::Rename;
                }
            }
        }
        work.settle();
        if work.is_untouched() {
            let text = Cow::Borrowed(object.raw());
            let strikes = Vec::new();
            return Outcome::Done(Cut::Shown { text, strikes });
        }
        Outcome::Done(match work.finish() {
            Ok((text, strikes)) => Cut::Shown {
                text: text.into(),
                strikes,
            },
            Err(reason) => Cut::Dropped(reason),
        })
    }
}

fn rename(work: &mut Work<'_>, new: &str, why: &Why) {
    let members = work.object().json().as_object().unwrap_or_default();
    if let Some(place) = members.iter().position(|(key, _)| key == "id") {
        work.replace(&[place], quoted(new), why.clone());
    }
}

/// Shows every reference of an object to `visit`: a string that is an id, wherever it stands and whatever
/// its key, and a key that is one (then the last is true). Left out are the object's own id and markings.
fn references<'o>(json: &'o Json<'o>, visit: &mut dyn FnMut(&Trail<'o>, &'o str, bool)) {
    walk(json, &mut |trail, value| {
        if trail.depth() == 1
            && matches!(
                trail.property(),
                "id" | "object_marking_refs" | "granular_markings"
            )
        {
            return false;
        }
        if let Some(key) = trail.last_key()
            && type_of_id(key).is_some()
        {
            visit(trail, key, true);
        }
        if let Some(id) = value.as_str()
            && type_of_id(id).is_some()
        {
            visit(trail, id, false);
        }
        true
    });
}

/// The names of victims, by what becomes of them and who asks for it.
struct VictimNames {
    struck: Names,
    pseudonyms: Names,
    own_struck: Names,
    own_pseudonyms: Names,
}

impl VictimNames {
    fn asked_by(&self, redaction: &Redaction) -> Vec<&Names> {
        if redaction.pseudonyms {
            vec![&self.pseudonyms]
        } else if redaction.victims {
            vec![&self.struck]
        } else {
            vec![&self.own_struck, &self.own_pseudonyms]
        }
    }
}
