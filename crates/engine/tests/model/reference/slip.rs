//! Mistakes that the model makes when asked to, to show that each would be noticed.

/// What the model gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slip {
    /// A signal whose request is repeated is done again.
    RepeatedSignalsCount,
    /// An external event of a client arrives twice.
    EventsArriveTwice,
    /// An owner that ends keeps its locks.
    LocksOutliveTheirOwner,
    /// Continue-as-new drops the events that were to be carried over.
    CarriedEventsAreForgotten,
    /// Continue-as-new drops the events that no turn had taken.
    WaitingEventsAreForgotten,
    /// An answer to a turn counts although another one was committed in between.
    StaleTurnsCount,
    /// Timers fire before they are due.
    TimersFireEarly,
    /// Timers of a generation outlive it.
    TimersOutliveTheirGeneration,
    /// Results for an older generation reach the present one.
    OldResultsArrive,
    /// A suspended instance takes turns.
    SuspensionHoldsNothing,
    /// Children of a terminated instance run on, whatever was asked for.
    TerminationSparesChildren,
    /// Activities of a terminated instance are still handed out.
    ActivitiesOutliveTermination,
    /// The parent of an instance that is replaced is not told.
    ParentsOfTheReplacedWait,
    /// Operations that come after a lock request overtake it.
    LockRequestsAreOvertaken,
    /// A rewind leaves failures of activities in the history.
    RewindKeepsFailures,
    /// A child does not inherit tags.
    ChildrenForgetTags,
    /// Operations beyond those that a worker answered are lost.
    PartialBatchesLoseTheRest,
    /// A custom status goes with its generation.
    CustomStatusEndsWithItsGeneration,
}

impl Slip {
    pub(crate) const ALL: [Self; 18] = [
        Self::RepeatedSignalsCount,
        Self::EventsArriveTwice,
        Self::LocksOutliveTheirOwner,
        Self::CarriedEventsAreForgotten,
        Self::WaitingEventsAreForgotten,
        Self::StaleTurnsCount,
        Self::TimersFireEarly,
        Self::TimersOutliveTheirGeneration,
        Self::OldResultsArrive,
        Self::SuspensionHoldsNothing,
        Self::TerminationSparesChildren,
        Self::ActivitiesOutliveTermination,
        Self::ParentsOfTheReplacedWait,
        Self::LockRequestsAreOvertaken,
        Self::RewindKeepsFailures,
        Self::ChildrenForgetTags,
        Self::PartialBatchesLoseTheRest,
        Self::CustomStatusEndsWithItsGeneration,
    ];
}
