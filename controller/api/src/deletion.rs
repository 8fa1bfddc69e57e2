//! Deletions by file that wait for a person's confirmation: what `/files` answers and `/files/confirm` takes.
//! Data only. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Time;

/// Why a deletion by file is not carried out by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HeldReason {
    /// The files of many objects went at once.
    ManyAtOnce,
    /// The kind's folder was replaced by another one.
    FolderReplaced,
    /// A file with another name says that it is this object's.
    Renamed,
}

/// An object whose file is gone, and that stays in force until somebody confirms its deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldDeletion {
    /// The object's kind.
    pub kind: String,
    /// The folder of its kind, as the API's paths have it.
    pub plural: String,
    /// Its name.
    pub name: String,
    /// Since when.
    pub since: Time,
    /// Why.
    pub reason: HeldReason,
    /// The file that says that it is this object's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_to: Option<String>,
}

/// A file or folder that is not in force as it is; the last good version stays in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileFault {
    /// The kind its folder is for.
    pub kind: String,
    /// The object's name; empty where the folder itself is meant.
    pub name: String,
    /// Where, in the state directory.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// What `GET /files` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileReport {
    /// Deletions that wait for somebody to confirm them.
    pub held: Vec<HeldDeletion>,
    /// Files and folders that are not in force as they are.
    pub faults: Vec<FileFault>,
}

/// What `POST /files/confirm` takes: held deletions of one kind that are to be carried out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// The kind, by any of its names.
    pub kind: String,
    /// The objects.
    pub names: Vec<String>,
}

/// What `POST /files/confirm` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Confirmed {
    /// Objects that are deleted; with finalizers they go when their containers have.
    pub deleted: Vec<String>,
    /// Objects that are not, and why.
    pub refused: Vec<Unconfirmed>,
}

/// An object whose deletion was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unconfirmed {
    /// Its name.
    pub name: String,
    /// Why.
    pub message: String,
}
