//! Who gets one object of a thousand partners: asked for the first time and again, beside a thousand plain
//! decisions of Cedar on the same policies; and how long a folder of a thousand policies takes to load.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hint::black_box;
use std::time::Instant;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression,
};
use hanse_node::policy::{Item, Policies, PolicyFile};
use hanse_protocol::charter::member::{MemberKind, Profile};
use hanse_protocol::charter::{Budget, Charter, Member};
use hanse_protocol::identity::Handle;
use hanse_protocol::timestamp::Timestamp;
use hanse_protocol::tlp::Tlp;

use crate::measure::{Failure, Scale, median};
use crate::table::{Aim, Figure, Table};

const GROUP: &str = "policy";

/// What a decision for a thousand partners may take, milliseconds.
const WARM: f64 = 5.0;
const COLD: f64 = 20.0;
/// What a folder of a thousand policies may take, milliseconds.
const LOAD: f64 = 1_000.0;
/// How often each is done in a run; the middle counts.
const REPEATS: usize = 9;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const KINDS: [MemberKind; 5] = [
    MemberKind::City,
    MemberKind::Company,
    MemberKind::Utility,
    MemberKind::Hospital,
    MemberKind::Cert,
];
const SECTORS: [&str; 4] = ["water", "health", "telecom", ""];
const COUNTRIES: [&str; 3] = ["DE", "NL", "SE"];

/// Takes the figures.
pub(crate) fn run(scale: &Scale, table: &mut Table) -> Result<(), Failure> {
    let partners = scale.size(1_000, 30);
    let charter = charter(partners)?;
    let own: Handle = "ourselves".parse()?;
    let text = policies(30);
    let files = vec![PolicyFile::new("all.cedar", text.clone())];
    let plain = Plain::new(&text, &charter)?;
    let (mut cold, mut warm, mut bare, mut load) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let many = policies(scale.size(1_000, 40));
    let mut classes = 0;
    for _ in 0..scale.runs {
        let (mut firsts, mut agains, mut plains) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..if scale.quick { 1 } else { REPEATS } {
            let policies = Policies::from_files(files.clone(), Some(&charter))?;
            let start = Instant::now();
            let roster = policies.roster(&charter, &own);
            let readers = readers(&policies, &roster);
            firsts.push(millis(start));
            let start = Instant::now();
            let again = self::readers(&policies, &roster);
            agains.push(millis(start));
            let start = Instant::now();
            let asked = plain.readers()?;
            plains.push(millis(start));
            if readers != asked || again != asked {
                return Err(format!("{} readers, {} by Cedar alone", readers.len(), asked.len()).into());
            }
            classes = roster.len();
        }
        cold.push(median(&firsts));
        warm.push(median(&agains));
        bare.push(median(&plains));
        let start = Instant::now();
        black_box(Policies::from_files(
            vec![PolicyFile::new("many.cedar", many.clone())],
            None,
        )?);
        load.push(millis(start));
    }
    let what = format!("one object, {partners} partners of {classes} classes, 30 policies");
    let figure = |what: String, runs, aim| Figure::new(GROUP, what, "ms", runs).aim(Aim::AtMost(aim));
    let beside = format!("{partners} of Cedar alone");
    table.add(figure(format!("{what}, first asked"), cold, COLD).beside(beside.clone(), bare.clone()));
    table.add(figure(format!("{what}, asked again"), warm, WARM).beside(beside, bare));
    let count = many.matches("@id").count();
    table.add(figure(format!("a folder of {count} policies loaded"), load, LOAD));
    Ok(())
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1_000.0
}

/// Who gets the object, each by its handle.
fn readers(policies: &Policies, roster: &hanse_node::policy::Roster) -> BTreeSet<Handle> {
    let decisions = policies.share(roster, &item(), NOW);
    let allowed = decisions
        .iter()
        .enumerate()
        .filter(|(_, decision)| decision.allowed);
    allowed
        .flat_map(|(class, _)| roster.members(class).iter().cloned())
        .collect()
}

fn item() -> Item {
    Item {
        kind: "indicator".to_owned(),
        tlp: Tlp::Amber,
        labels: ["malicious-activity".to_owned()].into(),
        confidence: Some(70),
        sightings: 3,
        kill_chain: BTreeSet::new(),
        targets: ["water".to_owned()].into(),
        personal_data: false,
        revoked: false,
    }
}

fn charter(members: usize) -> Result<Charter, Failure> {
    let mut all = Vec::new();
    for number in 0..members {
        let handle: Handle = format!("member-{number:05}").parse()?;
        // Every combination turns up.
        let pick = |count: usize, of: usize| number / of % count;
        let profile = Profile {
            handle: handle.clone(),
            name: handle.to_string(),
            kind: *KINDS.get(pick(KINDS.len(), 1)).ok_or("no kind")?,
            sector: (*SECTORS.get(pick(SECTORS.len(), KINDS.len())).ok_or("no sector")?).to_owned(),
            country: (*COUNTRIES
                .get(pick(COUNTRIES.len(), KINDS.len() * SECTORS.len()))
                .ok_or("no country")?)
            .to_owned(),
        };
        all.push(Member {
            handle,
            profile,
            admitted: NOW,
            signing: Vec::new(),
            sealing: Vec::new(),
            lanes: Vec::new(),
            ended: None,
        });
    }
    Ok(Charter {
        name: "bench".to_owned(),
        version: 1,
        parents: Vec::new(),
        issued: NOW,
        expires: NOW,
        stewards: Vec::new(),
        threshold: 1,
        recovery: Vec::new(),
        members: all,
        unmarked: Tlp::Green,
        budget: Budget { bytes: 1, records: 1 },
        horizon: 1,
    })
}

/// So many policies of sharing, of a mix that people write.
fn policies(count: usize) -> String {
    let pick = |list: &[&str], number: usize| {
        list.get(number % list.len())
            .copied()
            .unwrap_or_default()
            .to_owned()
    };
    let one = |number: usize| {
        let (sector, country) = (pick(&SECTORS, number), pick(&COUNTRIES, number / 4));
        let kind = pick(&["city", "company", "utility", "hospital", "cert"], number / 5);
        let tlp = pick(&["green", "amber", "amber+strict"], number / 2);
        let head = format!("@id(\"p{number}\")");
        match number % 5 {
            0 => format!(
                "{head} @hide(\"internal\") permit (principal, action == Action::\"share\", resource in TLP::\"{tlp}\")
                 when {{ principal.kind == \"{kind}\" && principal.sector == \"{sector}\" }};"
            ),
            1 => format!(
                "{head} permit (principal, action == Action::\"share\", resource in TLP::\"{tlp}\")
                 when {{ resource.targets.contains(principal.sector) && principal.country == \"{country}\" }};"
            ),
            2 => format!(
                "{head} @delay(\"2h\") permit (principal, action == Action::\"share\", resource)
                 when {{ resource.labels.contains(\"label-{number}\") && principal.trust > {} }};",
                number % 100
            ),
            3 => format!(
                "{head} forbid (principal, action == Action::\"share\", resource)
                 when {{ resource.tlp == \"amber+strict\" && principal.country != \"{country}\" }};"
            ),
            _ => format!(
                "{head} forbid (principal, action == Action::\"share\", resource)
                 when {{ resource has confidence && resource.confidence < {} }}
                 unless {{ principal.kind == \"{kind}\" }};",
                number % 50
            ),
        }
    };
    (0..count).map(|number| one(number) + "\n").collect()
}

/// The same policies and members, asked of Cedar one by one.
struct Plain {
    set: PolicySet,
    entities: Entities,
    members: Vec<(Handle, EntityUid)>,
    context: Context,
}

impl Plain {
    fn new(text: &str, charter: &Charter) -> Result<Self, Failure> {
        let string = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let set =
            |texts: &BTreeSet<String>| RestrictedExpression::new_set(texts.iter().map(|text| string(text)));
        let (mut entities, mut members) = (Vec::new(), Vec::new());
        for member in &charter.members {
            let attributes = HashMap::from([
                ("kind".to_owned(), string(&member.profile.kind.to_string())),
                ("sector".to_owned(), string(&member.profile.sector)),
                ("country".to_owned(), string(&member.profile.country)),
                ("trust".to_owned(), RestrictedExpression::new_long(50)),
            ]);
            let uid: EntityUid = format!("Member::\"{}\"", member.handle).parse()?;
            entities.push(Entity::new(uid.clone(), attributes, HashSet::new())?);
            members.push((member.handle.clone(), uid));
        }
        let item = item();
        let attributes = HashMap::from([
            ("tlp".to_owned(), string(item.tlp.name())),
            ("labels".to_owned(), set(&item.labels)),
            ("targets".to_owned(), set(&item.targets)),
            ("confidence".to_owned(), RestrictedExpression::new_long(70)),
        ]);
        let within = ["amber", "amber+strict", "red"];
        let within: Result<HashSet<EntityUid>, _> = within
            .iter()
            .map(|tlp| format!("TLP::\"{tlp}\"").parse())
            .collect();
        entities.push(Entity::new("Item::\"item\"".parse()?, attributes, within?)?);
        let now = RestrictedExpression::new_datetime(NOW.to_string());
        let named = RestrictedExpression::new_bool(false);
        Ok(Self {
            set: text.parse()?,
            entities: Entities::from_entities(entities, None)?,
            members,
            context: Context::from_pairs([("now".to_owned(), now), ("named".to_owned(), named)])?,
        })
    }

    fn readers(&self) -> Result<BTreeSet<Handle>, Failure> {
        let (action, resource): (EntityUid, EntityUid) =
            ("Action::\"share\"".parse()?, "Item::\"item\"".parse()?);
        let authorizer = Authorizer::new();
        let mut readers = BTreeSet::new();
        for (handle, uid) in &self.members {
            let context = self.context.clone();
            let request = Request::new(uid.clone(), action.clone(), resource.clone(), context, None)?;
            let answer = authorizer.is_authorized(&request, &self.set, &self.entities);
            if answer.decision() == Decision::Allow {
                readers.insert(handle.clone());
            }
        }
        Ok(readers)
    }
}
