//! How the nodes become one community: by requests, admissions and invites, with the fingerprints
//! that operators would read to one another.

use hanse_protocol::local::{Admission, AdmitRequest, FoundRequest, JoinRequest, RequestReply};
use hanse_sdk::SdkError;

use super::{Daemon, LeagueError};

/// The community's name.
const NAME: &str = "Testnet";

/// Founds a community at the first node and brings the others into it. All are admitted before the
/// first of them joins, so that everybody starts under the same charter.
pub(super) async fn found(daemons: &[Daemon]) -> Result<(), LeagueError> {
    let Some((steward, others)) = daemons.split_first() else {
        return Ok(());
    };
    let request = FoundRequest {
        name: NAME.to_owned(),
        unmarked: None,
        horizon_days: None,
    };
    steward.admin()?.found(&request).await.map_err(at(steward))?;
    let mut requests = Vec::new();
    for newcomer in others {
        let request = newcomer.admin()?.request().await.map_err(at(newcomer))?;
        admitted(steward, &request).await?;
        requests.push(request);
    }
    for (newcomer, request) in others.iter().zip(requests) {
        // Who is listed already is given the newest invite.
        join(newcomer, admitted(steward, &request).await?).await?;
    }
    Ok(())
}

/// Brings one more node into the community.
pub(super) async fn admit(steward: &Daemon, newcomer: &Daemon) -> Result<(), LeagueError> {
    let request = newcomer.admin()?.request().await.map_err(at(newcomer))?;
    join(newcomer, admitted(steward, &request).await?).await
}

async fn admitted(steward: &Daemon, request: &RequestReply) -> Result<Admission, LeagueError> {
    let RequestReply {
        file, fingerprint, ..
    } = request.clone();
    steward
        .admin()?
        .admit(&AdmitRequest { file, fingerprint })
        .await
        .map_err(at(steward))
}

async fn join(newcomer: &Daemon, admission: Admission) -> Result<(), LeagueError> {
    let Admission {
        invite: file,
        fingerprint,
        ..
    } = admission;
    let joined = newcomer.admin()?.join(&JoinRequest { file, fingerprint }).await;
    joined.map(drop).map_err(at(newcomer))
}

fn at(daemon: &Daemon) -> impl FnOnce(SdkError) -> LeagueError {
    let member = daemon.member().to_string();
    move |source| LeagueError::Api { member, source }
}
