//! The RPCs of `TaskHubSidecarService`.

macro_rules! rpcs {
    ($($name:ident),* $(,)?) => {
        /// One RPC.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Rpc {
            $(#[doc = stringify!($name)] $name,)*
        }

        impl Rpc {
            /// Every RPC; `rpc as usize` is its place.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As on the wire.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

rpcs! {
    Hello,
    StartInstance,
    GetInstance,
    WaitForInstanceStart,
    WaitForInstanceCompletion,
    RaiseEvent,
    TerminateInstance,
    SuspendInstance,
    ResumeInstance,
    RestartInstance,
    RewindInstance,
    QueryInstances,
    ListInstanceIds,
    PurgeInstances,
    StreamInstanceHistory,
    SkipGracefulOrchestrationTerminations,
    GetWorkItems,
    CompleteActivityTask,
    CompleteOrchestratorTask,
    CompleteEntityTask,
    AbandonTaskActivityWorkItem,
    AbandonTaskOrchestratorWorkItem,
    AbandonTaskEntityWorkItem,
    SignalEntity,
    GetEntity,
    QueryEntities,
    CleanEntityStorage,
    CreateTaskHub,
    DeleteTaskHub,
}
