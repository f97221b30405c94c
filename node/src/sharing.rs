//! Who gets what of a publication, and why: markings set the floor, policies answer for every partner, and
//! what an audience may not see is cut before anything is packed. Pure but for what it is told of objects
//! published elsewhere: the same input gives the same plan, so that a preview is what is sent.

pub(crate) mod items;
