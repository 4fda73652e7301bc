//! Calls of a program: start, observe and steer orchestration instances.

use longhaul_proto::sidecar::{
    CreateInstanceRequest, GetInstanceRequest, GetInstanceResponse, OrchestrationState,
    PurgeInstancesRequest, RaiseEventRequest, ResumeRequest, SuspendRequest, TerminateRequest,
    purge_instances_request,
};

use super::Client;
use crate::call_error::CallError;

/// How much of an instance's state to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// All but input, output and failure.
    Summary,
    /// Everything.
    Payloads,
}

/// Whom a call on an instance concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The instance alone.
    Instance,
    /// The instance, its children, theirs, and so on.
    Descendants,
}

impl Client {
    /// Starts an orchestration; returns the instance's id, which the server makes if `instance_id` is empty.
    ///
    /// # Errors
    /// `ALREADY_EXISTS` if the id is taken and may not be reused, `INVALID_ARGUMENT` for a bad name or id.
    pub async fn start(&self, request: CreateInstanceRequest) -> Result<String, CallError> {
        let (mut stub, request) = self.call(request);
        let reply = stub
            .start_instance(request)
            .await
            .map_err(|status| CallError::new("StartInstance", status))?;
        Ok(reply.into_inner().instance_id)
    }

    /// The instance's state, or `None` if there is no such instance.
    ///
    /// # Errors
    /// As any call.
    pub async fn get(
        &self,
        instance_id: &str,
        detail: Detail,
    ) -> Result<Option<OrchestrationState>, CallError> {
        let (mut stub, request) = self.call(query(instance_id, detail));
        let reply = stub
            .get_instance(request)
            .await
            .map_err(|status| CallError::new("GetInstance", status))?;
        Ok(found(reply.into_inner()))
    }

    /// Waits, without a limit of its own, until the instance has left PENDING.
    ///
    /// # Errors
    /// As any call. `None` if the instance was purged meanwhile.
    pub async fn wait_for_start(
        &self,
        instance_id: &str,
        detail: Detail,
    ) -> Result<Option<OrchestrationState>, CallError> {
        let (mut stub, request) = self.call(query(instance_id, detail));
        let reply = stub
            .wait_for_instance_start(request)
            .await
            .map_err(|status| CallError::new("WaitForInstanceStart", status))?;
        Ok(found(reply.into_inner()))
    }

    /// Waits, without a limit of its own, until the instance is completed, failed, terminated or cancelled.
    ///
    /// # Errors
    /// As any call. `None` if the instance was purged meanwhile.
    pub async fn wait_for_completion(
        &self,
        instance_id: &str,
        detail: Detail,
    ) -> Result<Option<OrchestrationState>, CallError> {
        let (mut stub, request) = self.call(query(instance_id, detail));
        let reply = stub
            .wait_for_instance_completion(request)
            .await
            .map_err(|status| CallError::new("WaitForInstanceCompletion", status))?;
        Ok(found(reply.into_inner()))
    }

    /// Sends the external event `name` to an instance.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such instance. Never retried here: two raises are two events.
    pub async fn raise_event(
        &self,
        instance_id: &str,
        name: &str,
        input: Option<String>,
    ) -> Result<(), CallError> {
        let message = RaiseEventRequest {
            instance_id: instance_id.to_owned(),
            name: name.to_owned(),
            input,
        };
        let (mut stub, request) = self.call(message);
        stub.raise_event(request)
            .await
            .map_err(|status| CallError::new("RaiseEvent", status))?;
        Ok(())
    }

    /// Ends an instance with `output`.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such instance.
    pub async fn terminate(
        &self,
        instance_id: &str,
        output: Option<String>,
        reach: Reach,
    ) -> Result<(), CallError> {
        let message = TerminateRequest {
            instance_id: instance_id.to_owned(),
            output,
            recursive: reach == Reach::Descendants,
        };
        let (mut stub, request) = self.call(message);
        stub.terminate_instance(request)
            .await
            .map_err(|status| CallError::new("TerminateInstance", status))?;
        Ok(())
    }

    /// Holds an instance until [`Client::resume`].
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such instance.
    pub async fn suspend(
        &self,
        instance_id: &str,
        reason: Option<String>,
    ) -> Result<(), CallError> {
        let message = SuspendRequest {
            instance_id: instance_id.to_owned(),
            reason,
        };
        let (mut stub, request) = self.call(message);
        stub.suspend_instance(request)
            .await
            .map_err(|status| CallError::new("SuspendInstance", status))?;
        Ok(())
    }

    /// Lets a suspended instance go on.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such instance.
    pub async fn resume(&self, instance_id: &str, reason: Option<String>) -> Result<(), CallError> {
        let message = ResumeRequest {
            instance_id: instance_id.to_owned(),
            reason,
        };
        let (mut stub, request) = self.call(message);
        stub.resume_instance(request)
            .await
            .map_err(|status| CallError::new("ResumeInstance", status))?;
        Ok(())
    }

    /// Deletes a finished instance, and its children as far as they are finished; returns how many were deleted.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` if the instance is still running.
    pub async fn purge(&self, instance_id: &str, reach: Reach) -> Result<i32, CallError> {
        let message = PurgeInstancesRequest {
            request: Some(purge_instances_request::Request::InstanceId(
                instance_id.to_owned(),
            )),
            recursive: reach == Reach::Descendants,
            is_orchestration: true,
        };
        let (mut stub, request) = self.call(message);
        let reply = stub
            .purge_instances(request)
            .await
            .map_err(|status| CallError::new("PurgeInstances", status))?;
        Ok(reply.into_inner().deleted_instance_count)
    }
}

fn query(instance_id: &str, detail: Detail) -> GetInstanceRequest {
    GetInstanceRequest {
        instance_id: instance_id.to_owned(),
        get_inputs_and_outputs: detail == Detail::Payloads,
    }
}

fn found(reply: GetInstanceResponse) -> Option<OrchestrationState> {
    reply.orchestration_state.filter(|_| reply.exists)
}
