//! The plan of a publication: which text goes to which audience, when, and what of it goes to nobody.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hanse_protocol::audience::Audience;
use hanse_protocol::charter::CharterRef;
use hanse_protocol::identity::Handle;
use hanse_protocol::local::RefusedObject;
use hanse_protocol::redact::{self, Cut, Glance, Outlook, Redaction, Sight};
use hanse_protocol::stix::Object;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use super::answers::{Answer, Answers, Class, Distinct, Held};
use super::handed::Handed;
use super::papers::{PublicationId, Ruled, Ruling};
use super::{Rulebook, Terms, items, references};
use crate::policy::Item;

/// Who gets what of a publication.
pub(crate) struct Plan<'o> {
    /// What travels, by audience and delay, each with its objects in the order of the publication.
    pub(crate) variants: Vec<Variant<'o>>,
    /// Partners who see the same, with what they see of each object.
    pub(crate) views: Vec<View<'o>>,
    /// What floor and policies said.
    pub(crate) answers: Answers,
    /// Of each object its distinct item, and those of its parts that are marked more strictly.
    pub(crate) facets: Vec<Facets>,
    /// Objects that nobody gets, by number, with why.
    pub(crate) refused: Vec<(usize, String)>,
    /// Whether some object goes to whoever may join later, too.
    pub(crate) open: bool,
}

/// Objects that one audience gets at one time.
#[derive(Debug)]
pub(crate) struct Variant<'o> {
    /// Who reads it.
    pub(crate) audience: Audience,
    /// How long it waits.
    pub(crate) delay: Duration,
    /// The policies that decided.
    pub(crate) deciding: BTreeSet<String>,
    /// What is in it.
    pub(crate) pieces: Vec<Piece<'o>>,
}

/// One object as an audience gets it.
#[derive(Clone, Debug)]
pub(crate) struct Piece<'o> {
    /// Its number in the publication.
    pub(crate) object: usize,
    /// Its text.
    pub(crate) text: Cow<'o, str>,
    /// How much was struck out of it; zero as issued.
    pub(crate) strikes: u16,
    /// Its marking, that of parts which are struck not counted.
    pub(crate) tlp: Tlp,
}

/// Partners who see the same of every object.
pub(crate) struct View<'o> {
    /// The partners.
    pub(crate) members: BTreeSet<Handle>,
    /// The class of answers they have, one of the several that lead to this view.
    pub(crate) class: usize,
    /// What they see of each object; `None` where floor or policies say no.
    pub(crate) cuts: Vec<Option<Cut<'o>>>,
}

/// The distinct items that an object is ruled by.
#[derive(Clone, Debug)]
pub(crate) struct Facets {
    /// The object but for its stricter parts.
    pub(crate) own: usize,
    /// Its parts that are marked more strictly, from the freest.
    pub(crate) parts: Vec<(Tlp, usize)>,
}

impl<'o> Plan<'o> {
    /// Rules on the objects of a publication, for every partner.
    pub(crate) fn make(rulebook: &Rulebook<'_>, terms: &Terms<'_>, objects: &'o [Object<'o>]) -> Self {
        let (facets, distinct) = facets(objects, terms);
        let answers = Answers::ask(rulebook, terms, distinct.into_items());
        let named: Vec<_> = objects.iter().map(references::named).collect();
        let restricted = references::restricted(objects, &named, rulebook.elsewhere);
        let views = views(rulebook, objects, &facets, &answers, &restricted);
        let mut plan = Self {
            variants: Vec::new(),
            views,
            answers,
            facets,
            refused: Vec::new(),
            open: false,
        };
        let open = plan.openly(rulebook, terms, objects, &named, &restricted);
        plan.join(terms, objects, &open);
        plan
    }

    /// The objects that travel in the open, with the policies that decide so: what everybody gets as issued,
    /// whoever joins later would get, too, and what names nothing that is not itself open. For who joins later
    /// nobody cuts references.
    fn openly(
        &self,
        rulebook: &Rulebook<'_>,
        terms: &Terms<'_>,
        objects: &[Object<'_>],
        named: &[BTreeMap<String, String>],
        restricted: &BTreeMap<String, BTreeSet<Handle>>,
    ) -> BTreeMap<usize, BTreeSet<String>> {
        let everybody = self
            .answers
            .classes
            .iter()
            .map(|class| class.members.len())
            .sum::<usize>();
        let mut future: BTreeMap<usize, Option<BTreeSet<String>>> = BTreeMap::new();
        let mut open = BTreeMap::new();
        for number in 0..objects.len() {
            let facets = self.facets_of(number);
            let deciding = future.entry(facets.own).or_insert_with(|| {
                let item = self.answers.items.get(facets.own)?;
                let asked = terms.to.is_none() && item.tlp.openly();
                asked
                    .then(|| rulebook.policies.future(item, terms.now))?
                    .map(|decision| decision.deciding)
            });
            let Some(deciding) = deciding else { continue };
            let forms = self.forms(number);
            let as_issued = forms.iter().all(|form| form.strikes == 0 && form.delay.is_zero());
            let reached = forms.iter().map(|form| self.count(&form.views)).sum::<usize>();
            let mut names = named.get(number).into_iter().flat_map(BTreeMap::keys);
            if facets.parts.is_empty()
                && as_issued
                && reached == everybody
                && !names.any(|id| restricted.contains_key(id))
            {
                open.insert(number, deciding.clone());
            }
        }
        let numbers: BTreeMap<String, Vec<usize>> =
            objects
                .iter()
                .enumerate()
                .fold(BTreeMap::new(), |mut numbers, (number, object)| {
                    numbers
                        .entry(object.id().to_ascii_lowercase())
                        .or_insert_with(Vec::new)
                        .push(number);
                    numbers
                });
        // What refers to something that is not open is not open either, and so on.
        let mut referrers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for number in open.keys() {
            for id in named.get(*number).into_iter().flat_map(BTreeMap::keys) {
                for target in numbers.get(id).into_iter().flatten() {
                    referrers.entry(*target).or_default().push(*number);
                }
            }
        }
        let mut closed: Vec<usize> = (0..objects.len())
            .filter(|number| !open.contains_key(number))
            .collect();
        while let Some(number) = closed.pop() {
            for referrer in referrers.remove(&number).unwrap_or_default() {
                if open.remove(&referrer).is_some() {
                    closed.push(referrer);
                }
            }
        }
        open
    }

    /// Puts together what goes to the same audience at the same time.
    fn join(
        &mut self,
        terms: &Terms<'_>,
        objects: &'o [Object<'o>],
        open: &BTreeMap<usize, BTreeSet<String>>,
    ) {
        let mut joined: BTreeMap<(Audience, Duration), Variant<'o>> = BTreeMap::new();
        let mut audiences: BTreeMap<Vec<usize>, BTreeSet<Handle>> = BTreeMap::new();
        for (number, object) in objects.iter().enumerate() {
            let facets = self.facets_of(number);
            if let Some(deciding) = open.get(&number) {
                self.open = true;
                let variant = joined
                    .entry((Audience::Community, Duration::ZERO))
                    .or_insert_with(|| Variant::new(Audience::Community, Duration::ZERO));
                variant.deciding.extend(deciding.iter().cloned());
                variant.pieces.push(Piece {
                    object: number,
                    text: Cow::Borrowed(object.raw()),
                    strikes: 0,
                    tlp: object.tlp(terms.unmarked, terms.floor),
                });
                continue;
            }
            let forms = self.forms(number);
            if forms.is_empty() {
                let why = self.why_nobody(number, terms);
                self.refused.push((number, why));
                continue;
            }
            for form in forms {
                let members = audiences
                    .entry(form.views.clone())
                    .or_insert_with(|| self.members(&form.views));
                let audience = Audience::Members(members.clone());
                let variant = joined
                    .entry((audience.clone(), form.delay))
                    .or_insert_with(|| Variant::new(audience, form.delay));
                variant.deciding.extend(self.deciding(&form.views, facets.own));
                variant.pieces.push(Piece {
                    object: number,
                    text: form.text.clone(),
                    strikes: form.strikes,
                    tlp: form.tlp,
                });
            }
        }
        self.variants = joined.into_values().collect();
        if let Some(freeze) = &terms.frozen {
            // Whoever is kept from hearing of an expulsion must not seal to the expelled, whatever the marking.
            let reason = freeze.to_string();
            self.keep_only(|variant| variant.audience == Audience::Community, &reason);
        }
    }

    /// Takes out what is not sent; what then goes to nobody is refused for this reason.
    fn keep_only(&mut self, kept: impl Fn(&Variant<'o>) -> bool, reason: &str) {
        self.variants.retain(kept);
        let sent = self.variants.iter().flat_map(|variant| &variant.pieces);
        let sent: BTreeSet<usize> = sent.map(|piece| piece.object).collect();
        let refused: BTreeSet<usize> = self.refused.iter().map(|(number, _)| *number).collect();
        let nobody =
            (0..self.facets.len()).filter(|number| !sent.contains(number) && !refused.contains(number));
        self.refused
            .extend(nobody.map(|number| (number, reason.to_owned())));
    }

    fn facets_of(&self, number: usize) -> Facets {
        self.facets.get(number).cloned().unwrap_or(Facets {
            own: usize::MAX,
            parts: Vec::new(),
        })
    }

    /// The forms in which an object travels, each with the views that get it.
    fn forms(&self, number: usize) -> Vec<Form<'_, 'o>> {
        let mut forms: Vec<Form<'_, 'o>> = Vec::new();
        for (index, view) in self.views.iter().enumerate() {
            let Some(Some(Cut::Shown { text, strikes })) = view.cuts.get(number) else {
                continue;
            };
            let strikes = u16::try_from(strikes.len()).unwrap_or(u16::MAX);
            let delay = self.delay(view.class, number);
            let tlp = self.shown_tlp(view.class, number);
            let same = forms
                .iter_mut()
                .find(|form| form.delay == delay && form.tlp == tlp && form.text == text);
            match same {
                Some(form) => form.views.push(index),
                None => forms.push(Form {
                    text,
                    strikes,
                    delay,
                    tlp,
                    views: vec![index],
                }),
            }
        }
        forms
    }

    /// The longest that a policy demands for an object or a part of it that is shown.
    fn delay(&self, class: usize, number: usize) -> Duration {
        let facets = self.facets_of(number);
        let shown = self.shown_parts(class, &facets);
        let items = std::iter::once(facets.own).chain(shown.map(|(_, item)| item));
        items
            .filter_map(|item| self.answer(class, item))
            .map(|answer| answer.decision.obligations.delay)
            .max()
            .unwrap_or_default()
    }

    /// The strictest marking of what is shown of an object.
    fn shown_tlp(&self, class: usize, number: usize) -> Tlp {
        let facets = self.facets_of(number);
        let own = self
            .answers
            .items
            .get(facets.own)
            .map_or(Tlp::Red, |item| item.tlp);
        self.shown_parts(class, &facets)
            .map(|(tlp, _)| tlp)
            .fold(own, Tlp::max)
    }

    fn shown_parts<'s>(
        &'s self,
        class: usize,
        facets: &Facets,
    ) -> impl Iterator<Item = (Tlp, usize)> + use<'s, 'o> {
        let parts = facets.parts.clone();
        parts
            .into_iter()
            .take_while(move |(_, item)| self.answer(class, *item).is_some_and(Answer::allows))
    }

    /// What a class of partners is answered about an item.
    pub(crate) fn answer(&self, class: usize, item: usize) -> Option<&Answer> {
        self.answers.classes.get(class)?.answers.get(item)
    }

    fn members(&self, views: &[usize]) -> BTreeSet<Handle> {
        let views = views.iter().filter_map(|view| self.views.get(*view));
        views.flat_map(|view| view.members.iter().cloned()).collect()
    }

    fn count(&self, views: &[usize]) -> usize {
        let views = views.iter().filter_map(|view| self.views.get(*view));
        views.map(|view| view.members.len()).sum()
    }

    fn deciding(&self, views: &[usize], item: usize) -> BTreeSet<String> {
        let views = views.iter().filter_map(|view| self.views.get(*view));
        views
            .filter_map(|view| self.answer(view.class, item))
            .flat_map(|answer| answer.decision.deciding.iter().cloned())
            .collect()
    }

    /// Why an object goes to nobody, for the person who wanted to send it.
    fn why_nobody(&self, number: usize, terms: &Terms<'_>) -> String {
        let facets = self.facets_of(number);
        let dropped = self.views.iter().find_map(|view| match view.cuts.get(number) {
            Some(Some(Cut::Dropped(reason))) => Some(reason.to_string()),
            _ => None,
        });
        if let Some(reason) = dropped {
            return format!("nobody may get it: {reason}");
        }
        let asked: Vec<&Answer> = (0..self.answers.classes.len())
            .filter_map(|class| self.answer(class, facets.own))
            .filter(|answer| answer.held != Some(Held::NotNamed))
            .collect();
        let red = self
            .answers
            .items
            .get(facets.own)
            .is_some_and(|item| item.tlp == Tlp::Red);
        if asked.is_empty() {
            return match terms.to {
                None if red => Held::Red.to_string(),
                Some(_) => "no reader but the author is named".to_owned(),
                None => "the community has no other member to seal it to".to_owned(),
            };
        }
        let held = asked
            .iter()
            .find(|answer| answer.decision.allowed)
            .and_then(|answer| answer.held);
        if let (Some(Held::Frozen), Some(freeze)) = (held, &terms.frozen) {
            return freeze.to_string();
        }
        if let Some(held) = held {
            return held.to_string();
        }
        if let Some(error) = asked.iter().find_map(|answer| answer.decision.error.as_ref()) {
            return format!("the policies cannot be applied to it: {error}");
        }
        if red && terms.to.is_none() {
            return Held::Red.to_string();
        }
        let forbidding: BTreeSet<&str> = asked
            .iter()
            .flat_map(|answer| answer.decision.deciding.iter().map(String::as_str))
            .collect();
        if forbidding.is_empty() {
            "no policy allows anybody to get it".to_owned()
        } else {
            let names: Vec<&str> = forbidding.into_iter().collect();
            format!("nobody may get it: forbidden by `{}`", names.join("`, `"))
        }
    }
}

impl<'o> Plan<'o> {
    /// What of a request goes to nobody, in its order.
    pub(crate) fn refusals(&self, handed: &Handed<'_>) -> Vec<RefusedObject> {
        let nobody = self.refused.iter().map(|(number, reason)| RefusedObject {
            index: handed.place(*number),
            reason: reason.clone(),
        });
        let mut refused: Vec<RefusedObject> = handed.refused.iter().cloned().chain(nobody).collect();
        refused.sort_by_key(|object| object.index);
        refused
    }

    /// Readers who were named and get nothing, or not all that is sent.
    pub(crate) fn warnings(&self, to: Option<&BTreeSet<Handle>>) -> Vec<String> {
        let sent = self.facets.len() - self.refused.len();
        let short = to.into_iter().flatten().filter_map(|named| {
            let view = self.views.iter().find(|view| view.members.contains(named))?;
            let shown = view.cuts.iter().flatten();
            let shown = shown.filter(|cut| matches!(cut, Cut::Shown { .. })).count();
            (shown < sent)
                .then(|| format!("`{named}` gets {shown} of {sent} objects: `hanse preview` tells why"))
        });
        short.collect()
    }

    /// Takes out what policies want to wait, which is not carried out yet: it is told, and not sent.
    pub(crate) fn hold_back(&mut self) -> Vec<String> {
        let waiting = self.variants.iter().filter(|variant| !variant.delay.is_zero());
        let told = waiting.map(|variant| {
            let policies: Vec<&str> = variant.deciding.iter().map(String::as_str).collect();
            format!(
                "{} objects are not sent to {} readers: `{}` wants them to wait, which this version does not do",
                variant.pieces.len(),
                match &variant.audience {
                    Audience::Community => 0,
                    Audience::Members(members) => members.len(),
                },
                policies.join("`, `"),
            )
        });
        let told = told.collect();
        let reason = "its policy wants it to wait, which this version does not do";
        self.keep_only(|variant| variant.delay.is_zero(), reason);
        told
    }

    /// What is kept of the ruling on a record; whoever signs adds under what it was made.
    pub(crate) fn ruling(
        &self,
        variant: &Variant<'_>,
        pieces: &[&Piece<'_>],
        publication: PublicationId,
    ) -> Ruling {
        let mut items: Vec<Item> = Vec::new();
        let mut numbers: BTreeMap<usize, u16> = BTreeMap::new();
        let mut ruled = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let own = self.facets_of(piece.object).own;
            let next = u16::try_from(items.len()).unwrap_or(u16::MAX);
            let item = *numbers.entry(own).or_insert_with(|| {
                items.extend(self.answers.items.get(own).cloned());
                next
            });
            ruled.push(Ruled {
                object: u32::try_from(piece.object).unwrap_or(u32::MAX),
                item,
                strikes: piece.strikes,
            });
        }
        Ruling {
            publication,
            policies: [0; 32],
            charter: CharterRef {
                version: 0,
                hash: [0; 8],
            },
            at: Timestamp::default(),
            to: None,
            readers: match &variant.audience {
                Audience::Community => None,
                Audience::Members(members) => Some(members.clone()),
            },
            deciding: variant.deciding.clone(),
            items,
            pieces: ruled,
        }
    }
}

/// A form in which an object travels.
struct Form<'p, 'o> {
    text: &'p Cow<'o, str>,
    strikes: u16,
    delay: Duration,
    tlp: Tlp,
    views: Vec<usize>,
}

impl Variant<'_> {
    fn new(audience: Audience, delay: Duration) -> Self {
        Self {
            audience,
            delay,
            deciding: BTreeSet::new(),
            pieces: Vec::new(),
        }
    }
}

/// The items that each object is ruled by.
fn facets(objects: &[Object<'_>], terms: &Terms<'_>) -> (Vec<Facets>, Distinct) {
    let mut distinct = Distinct::default();
    let items = items::items(objects, terms.unmarked, terms.floor);
    let facets = objects.iter().zip(items).map(|(object, item)| {
        let own = object.own_tlp(terms.unmarked, terms.floor);
        let parts: BTreeSet<Tlp> = object.part_tlps().into_iter().filter(|tlp| *tlp > own).collect();
        Facets {
            own: distinct.number(Item {
                tlp: own,
                ..item.clone()
            }),
            parts: parts
                .into_iter()
                .map(|tlp| (tlp, distinct.number(Item { tlp, ..item.clone() })))
                .collect(),
        }
    });
    let facets = facets.collect();
    (facets, distinct)
}

/// What partners see: those with the same permissions, redactions and knowledge of what is referred to see the
/// same.
fn views<'o>(
    rulebook: &Rulebook<'_>,
    objects: &'o [Object<'o>],
    facets: &[Facets],
    answers: &Answers,
    restricted: &BTreeMap<String, BTreeSet<Handle>>,
) -> Vec<View<'o>> {
    let mut alike: BTreeMap<Likeness, (usize, BTreeSet<Handle>)> = BTreeMap::new();
    for (number, class) in answers.classes.iter().enumerate() {
        for member in &class.members {
            let likeness = Likeness::of(class, member, restricted);
            alike
                .entry(likeness)
                .or_insert_with(|| (number, BTreeSet::new()))
                .1
                .insert(member.clone());
        }
    }
    let view = |(likeness, (class, members)): (Likeness, (usize, BTreeSet<Handle>))| {
        let answers = answers.classes.get(class).map_or(&[][..], |class| &class.answers);
        let redactions: Vec<Redaction> = facets.iter().map(|facets| redaction(facets, answers)).collect();
        let glances: Vec<Glance<'_, '_>> = objects
            .iter()
            .zip(facets)
            .zip(&redactions)
            .map(|((object, facets), redaction)| Glance {
                object,
                sight: sight(facets, answers, redaction),
            })
            .collect();
        let audience = seed(&members);
        let outlook = Outlook {
            rules: rulebook.rules(),
            secret: rulebook.secret,
            audience: &audience,
            hidden: &|id| likeness.hidden.contains(id),
        };
        let cuts = redact::cut(&glances, &outlook);
        let cuts = glances
            .iter()
            .zip(cuts)
            .map(|(glance, cut)| glance.sight.is_some().then_some(cut))
            .collect();
        View { members, class, cuts }
    };
    alike.into_iter().map(view).collect()
}

/// What replacement ids of an audience hang on.
fn seed(members: &BTreeSet<Handle>) -> Vec<u8> {
    members
        .iter()
        .flat_map(|member| member.as_str().bytes().chain([0]))
        .collect()
}

/// Partners of one likeness see the same.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Likeness {
    /// Of each item: whether it is seen, what is taken out of it, how long it waits.
    answers: Vec<Option<(Redaction, Duration)>>,
    /// Objects referred to that they may not know of.
    hidden: BTreeSet<String>,
    /// The one partner, where pseudonyms are its own.
    alone: Option<Handle>,
}

impl Likeness {
    fn of(class: &Class, member: &Handle, restricted: &BTreeMap<String, BTreeSet<Handle>>) -> Self {
        let answers: Vec<_> = class
            .answers
            .iter()
            .map(|answer| {
                let obligations = &answer.decision.obligations;
                answer
                    .allows()
                    .then(|| (obligations.redaction.clone(), obligations.delay))
            })
            .collect();
        let hidden = restricted.iter().filter(|(_, readers)| !readers.contains(member));
        let alone = answers
            .iter()
            .flatten()
            .any(|(redaction, _)| redaction.pseudonyms);
        Self {
            hidden: hidden.map(|(id, _)| id.clone()).collect(),
            alone: alone.then(|| member.clone()),
            answers,
        }
    }
}

/// What is taken out of an object for those who see it and its parts.
fn redaction(facets: &Facets, answers: &[Answer]) -> Redaction {
    let mut redaction = Redaction::default();
    let parts = facets
        .parts
        .iter()
        .map(|(_, item)| *item)
        .take_while(|item| answers.get(*item).is_some_and(Answer::allows));
    for item in std::iter::once(facets.own).chain(parts) {
        if let Some(answer) = answers.get(item) {
            redaction.add(&answer.decision.obligations.redaction);
        }
    }
    redaction
}

/// What partners of these answers may see of an object; `None` for nothing.
fn sight<'r>(facets: &Facets, answers: &[Answer], redaction: &'r Redaction) -> Option<Sight<'r>> {
    let allows = |item: usize| answers.get(item).is_some_and(Answer::allows);
    // The freest marking that is not for them bounds what they see, and what is stricter goes with it.
    let first_not = facets.parts.iter().find(|(_, item)| !allows(*item));
    let parts = match first_not {
        Some((tlp, _)) => Tlp::ALL.into_iter().rev().find(|level| level < tlp)?,
        None => Tlp::Red,
    };
    allows(facets.own).then_some(Sight { parts, redaction })
}
